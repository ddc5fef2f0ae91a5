//! The catalog's state machine by example: `transcripts/*.txt` are commands and their results.
//!
//! A line that begins with `>` is a command. Below it are the reply, then each account that it
//! changed, then the number of open reservations if that changed. `UPDATE_TRANSCRIPTS=1 cargo test
//! -p catalog --test transcripts` rewrites the files; read the diff before you commit it.

use std::fmt::Write;
use std::path::Path;
use std::str::SplitWhitespace;

use api::catalog::{BatchReserved, Fence, Fenced, OrderLine, Reservation, ReserveBatch, Resolve, Settle, StockAccount};
use api::{BatchId, BatchNumber, OrderId, Price, Product, ProductName, Quantity, Stock, Term};
use catalog::{Action, Catalog, CatalogReply, CatalogResult};
use uuid::Uuid;

#[test]
fn transcripts_are_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 6, "the transcripts exist");
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let played = play(&written);
        if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            std::fs::write(&file, played).unwrap();
        } else {
            assert_eq!(written, played, "{}", file.display());
        }
    }
}

/// Runs the commands of a transcript; returns it with their results.
fn play(transcript: &str) -> String {
    let mut catalog = Catalog::default();
    let mut played = String::new();
    let mut after_command = false;
    for line in transcript.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            let before = catalog.clone();
            let preview = catalog.preview(&action(command));
            let outcome = catalog.act(action(command));
            let changed: Vec<_> =
                catalog.offers().filter(|o| before.offer(&o.product.name).as_ref() != Some(o)).collect();
            assert_eq!(preview, changed, "{command}: a preview shows what changes");
            assert!(outcome.is_ok() || catalog == before, "{command}: a refusal changes nothing");
            writeln!(played, "{line}\n{}", shown(&outcome)).unwrap();
            show_changes(&before, &catalog, &mut played);
            after_command = true;
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(played, "{line}").unwrap();
            after_command = false;
        } else {
            assert!(after_command, "neither a command nor a comment: {line}");
        }
    }
    played
}

fn action(command: &str) -> Action {
    let mut words = command.split_whitespace();
    let action = match words.next().unwrap() {
        "seed" => Action::Seed(words.by_ref().map(seed).collect()),
        "fence" => Action::Fence(Fence { term: term(words.next().unwrap()) }),
        "resolve" => {
            let term = term(words.next().unwrap());
            let (keep, release) = (orders_after(&mut words, "keep"), orders_after(&mut words, "release"));
            Action::Resolve(Resolve { term, keep, release })
        }
        "reserve" => {
            let id = batch_id(words.next().unwrap());
            let mut orders = Vec::new();
            let mut settled = None;
            while let Some(word) = words.next() {
                if word == "settle" {
                    settled = Some(settle(&mut words));
                } else {
                    orders.push(order(word));
                }
            }
            Action::Reserve(ReserveBatch { id, orders, settle: settled })
        }
        "settle" => Action::Settle(settle(&mut words)),
        "restock" => Action::Restock { level: Stock(words.next().unwrap().parse().unwrap()) },
        "extend_lease" => Action::ExtendLease { lease_ms: words.next().unwrap().parse().unwrap() },
        other => panic!("no such command: {other}"),
    };
    assert_eq!(words.next(), None, "{command}");
    action
}

fn seed(word: &str) -> Product {
    let (name, pieces) = word.split_once('=').unwrap();
    let (price, quantity) = (Price::from_cents(100).unwrap(), Stock(pieces.parse().unwrap()));
    Product { name: ProductName::new(name).unwrap(), price, quantity }
}

fn term(word: &str) -> Term {
    Term(word.parse().unwrap())
}

/// `5/1` is batch 1 of term 5.
fn batch_id(word: &str) -> BatchId {
    let (t, batch) = word.split_once('/').unwrap();
    BatchId { term: term(t), batch: BatchNumber(batch.parse().unwrap()) }
}

/// `a:Tux:3` is order *a*, for three of Tux.
fn order(word: &str) -> OrderLine {
    let parts: Vec<_> = word.split(':').collect();
    let &[id, name, quantity] = parts.as_slice() else { panic!("{word}") };
    let quantity = Quantity::new(quantity.parse().unwrap()).unwrap();
    OrderLine { order_id: order_id(id), name: ProductName::new(name).unwrap(), quantity }
}

/// `5/1 [release a,b]`: all of term 5 up to batch 1.
fn settle(words: &mut SplitWhitespace<'_>) -> Settle {
    let BatchId { term, batch } = batch_id(words.next().unwrap());
    Settle { term, through: batch, released: orders_after(words, "release") }
}

fn orders_after(words: &mut SplitWhitespace<'_>, keyword: &str) -> Vec<OrderId> {
    let mut ahead = words.clone();
    if ahead.next() != Some(keyword) {
        return Vec::new();
    }
    let orders = ahead.next().unwrap().split(',').map(order_id).collect();
    *words = ahead;
    orders
}

/// Orders are named by letters.
fn order_id(letter: &str) -> OrderId {
    assert!(letter.len() == 1, "{letter}");
    OrderId(Uuid::from_u128(u128::from(letter.as_bytes()[0])))
}

fn letter(order_id: &OrderId) -> char {
    char::from(u8::try_from(order_id.0.as_u128()).unwrap())
}

fn shown(outcome: &CatalogResult) -> String {
    match outcome {
        Ok(CatalogReply::Done) => "done".to_owned(),
        Ok(CatalogReply::Fenced(Fenced { open, .. })) if open.is_empty() => "nothing is open".to_owned(),
        Ok(CatalogReply::Fenced(Fenced { open, .. })) => {
            format!("open: {}", open.iter().map(letter).collect::<String>())
        }
        Ok(CatalogReply::Reserved(BatchReserved { outcomes })) => {
            let words = outcomes.iter().map(|outcome| match outcome {
                Reservation::Reserved => "reserved",
                Reservation::OutOfStock => "out_of_stock",
                Reservation::NoSuchProduct => "no_such_product",
            });
            words.collect::<Vec<_>>().join(" ")
        }
        Ok(CatalogReply::Restocked(names)) => format!("restocked: {names:?}"),
        Err(refusal) => format!("refused ({}): {refusal}", api::ApiError::from(*refusal).code.as_str()),
    }
}

fn show_changes(before: &Catalog, after: &Catalog, played: &mut String) {
    let known = before.statements();
    for account in after.statements().into_iter().filter(|account| !known.contains(account)) {
        let StockAccount { name, initial, restocked, stock, sold, reserved, .. } = account;
        let version = after.offer(&name).unwrap().version;
        writeln!(
            played,
            "  {name} v{version}: {initial} + {restocked} = {stock} in stock + {reserved} reserved + {sold} sold"
        )
        .unwrap();
    }
    if before.reservations_open() != after.reservations_open() {
        writeln!(played, "  {} open", after.reservations_open()).unwrap();
    }
}
