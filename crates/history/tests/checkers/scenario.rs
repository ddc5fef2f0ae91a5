//! Builds the history of one product in a few lines.

use std::collections::BTreeMap;
use std::fmt::Write;

use api::catalog::StockAccount;
use api::{ErrorCode, OrderId, OrderNumber, Ordinal, Price, ProductName, Quantity, Stock};
use history::{
    CheckOptions, ClientId, EndState, History, LedgerFile, LedgerLine, Moment, OrderCall, OrderOutcome, OrderRead,
    OrderReadOutcome, ProductCall, ProductOutcome, Verdict, check,
};
use uuid::Uuid;

pub(crate) const LEVEL: u64 = 10;

pub(crate) fn tux() -> ProductName {
    ProductName::new("Tux").unwrap()
}

pub(crate) fn id(n: u128) -> OrderId {
    OrderId(Uuid::from_u128(n))
}

pub(crate) fn number(n: u64) -> OrderNumber {
    OrderNumber::new(n).unwrap()
}

pub(crate) fn pieces(n: u64) -> Quantity {
    Quantity::new(n).unwrap()
}

pub(crate) fn acknowledged(n: u64) -> OrderOutcome {
    OrderOutcome::Acknowledged(number(n))
}

pub(crate) const SOLD_OUT: OrderOutcome = OrderOutcome::Refused(ErrorCode::OutOfStock);
pub(crate) const UNKNOWN: OrderOutcome = OrderOutcome::Unknown;

pub(crate) fn line(n: u64, order: u128, quantity: u64) -> LedgerLine {
    LedgerLine { number: number(n), product: tux(), quantity: pieces(quantity), order_id: id(order) }
}

/// A history and an end state. By default, all acknowledged orders are in three equal ledgers, and
/// the stock account adds up.
#[derive(Clone, Debug)]
pub(crate) struct HistoryScenario {
    pub(crate) history: History,
    pub(crate) options: CheckOptions,
    pub(crate) end: EndState,
    pub(crate) initial: u64,
    pub(crate) restocks: u64,
    level: u64,
    /// Orders that are placed without being acknowledged.
    also_placed: Vec<LedgerLine>,
}

impl HistoryScenario {
    /// A store with this many penguins.
    pub(crate) fn of(initial: u64) -> Self {
        let options = CheckOptions { restock_level: Some(Stock(LEVEL)), ..CheckOptions::default() };
        let (history, end) = (History::default(), EndState::default());
        Self { history, options, end, initial, restocks: 0, level: LEVEL, also_placed: Vec::new() }
    }

    /// An attempt at order `order`.
    pub(crate) fn order(mut self, order: u128, quantity: u64, during: (u64, u64), outcome: OrderOutcome) -> Self {
        self.push_order(order, quantity, during, outcome);
        self
    }

    pub(crate) fn push_order(&mut self, order: u128, quantity: u64, during: (u64, u64), outcome: OrderOutcome) {
        let client = ClientId(u32::try_from(order).unwrap());
        let (called, returned) = (Moment(during.0), Some(Moment(during.1)));
        let (product, quantity) = (tux(), pieces(quantity));
        let call = OrderCall { client, order_id: id(order), product, quantity, called, returned, outcome };
        self.history.orders.push(call);
    }

    /// A read that returned `stock`.
    pub(crate) fn read(mut self, stock: u64, during: (u64, u64)) -> Self {
        self.push_read(stock, during);
        self
    }

    pub(crate) fn push_read(&mut self, stock: u64, during: (u64, u64)) {
        self.history.products.push(ProductCall {
            client: ClientId(100),
            product: tux(),
            called: Moment(during.0),
            returned: Some(Moment(during.1)),
            outcome: ProductOutcome::Quantity(Stock(stock)),
        });
    }

    /// A read of order `n` that returned this quantity, or found no order.
    pub(crate) fn looked_up(mut self, n: u64, quantity: Option<u64>, during: (u64, u64)) -> Self {
        self.history.order_reads.push(OrderRead {
            client: ClientId(101),
            number: number(n),
            called: Moment(during.0),
            returned: Some(Moment(during.1)),
            outcome: quantity.map_or(OrderReadOutcome::NotFound, |quantity| OrderReadOutcome::Found {
                product: tux(),
                quantity: pieces(quantity),
            }),
        });
        self
    }

    /// `times` restocks happened.
    pub(crate) fn restocked(mut self, times: u64) -> Self {
        self.restocks = times;
        self
    }

    /// A restock adds `level` pieces.
    pub(crate) fn restocking_to(mut self, level: u64) -> Self {
        self.level = level;
        self.with(|options| options.restock_level = Some(Stock(level)))
    }

    /// Order `order` got number `n` without an acknowledgement.
    pub(crate) fn placed(mut self, n: u64, order: u128, quantity: u64) -> Self {
        self.also_placed.push(line(n, order, quantity));
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut CheckOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Adds the ledgers and the stock account.
    pub(crate) fn finished(mut self) -> Self {
        let mut lines: BTreeMap<_, _> = self.also_placed.iter().map(|line| (line.number, line.clone())).collect();
        for call in &self.history.orders {
            if let OrderOutcome::Acknowledged(number) = call.outcome {
                let OrderCall { product, quantity, order_id, .. } = call.clone();
                lines.entry(number).or_insert(LedgerLine { number, product, quantity, order_id });
            }
        }
        let lines: Vec<_> = lines.into_values().collect();
        self.end.ledgers = (1..=3).map(|n| LedgerFile { ordinal: Ordinal(n), bytes: ledger(&lines) }).collect();
        let sold = lines.iter().map(|line| u64::from(line.quantity.get())).sum();
        let restocked = self.restocks * self.level;
        let stock = Stock((self.initial + restocked).saturating_sub(sold));
        let price = Price::from_cents(100).unwrap();
        let account = StockAccount { name: tux(), price, initial: self.initial, restocked, stock, sold, reserved: 0 };
        self.end.accounts = vec![account];
        self
    }

    /// Checks the scenario as it is, after changes to the end state.
    pub(crate) fn check(&self) -> Verdict {
        check(&self.history, &self.end, &self.options)
    }

    #[track_caller]
    pub(crate) fn accepted(self) {
        let verdict = self.finished().check();
        assert_eq!(verdict.violations, [], "{}", texts(&verdict));
        assert_eq!((verdict.counts.violations, verdict.counts.undecided), (0, 0));
    }

    /// The texts of the violations begin with these words.
    #[track_caller]
    pub(crate) fn rejected(self, words: &[&str]) -> Verdict {
        self.finished().broken(words)
    }

    /// [`HistoryScenario::rejected`], after changes to the end state.
    #[track_caller]
    pub(crate) fn broken(self, words: &[&str]) -> Verdict {
        let verdict = self.check();
        let found: Vec<_> = verdict.violations.iter().map(ToString::to_string).collect();
        let as_expected =
            found.len() == words.len() && found.iter().zip(words).all(|(text, word)| text.starts_with(word));
        assert!(as_expected, "expected {words:#?}, found {found:#?}");
        verdict
    }
}

fn texts(verdict: &Verdict) -> String {
    verdict.violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A ledger's bytes.
pub(crate) fn ledger(lines: &[LedgerLine]) -> Vec<u8> {
    let mut text = String::from("number,name,quantity,order_id,checksum_v2\n");
    let mut chain = 0;
    for LedgerLine { number, product, quantity, order_id } in lines {
        let content = format!("{number},{product},{quantity},{order_id}");
        chain = crc32c::crc32c_append(chain, content.as_bytes());
        writeln!(text, "{content},x{chain:08x}").unwrap();
    }
    text.into_bytes()
}
