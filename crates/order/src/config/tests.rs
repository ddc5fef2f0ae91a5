use service::settings::{Mistakes, command};

use super::*;

fn read(environment: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let settings = settings();
    let matches = command("order", "an order replica", &settings).try_get_matches_from(["order"]).unwrap();
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    let mut values = Values::read(&settings, &matches, &environment);
    let config = Config::read(&mut values);
    values.finish(config)
}

#[test]
fn a_component_id_is_enough() {
    let config = read(&[("COMPONENT_ID", "2")]).unwrap();
    assert_eq!((config.ordinal, config.bootstrap_size), (Ordinal(2), 3));
    assert_eq!((config.port, config.replication_port), (1122, 1125));
    assert_eq!(config.ledger_file, PathBuf::from("data/log2.csv"));
    assert_eq!(config.data_dir, PathBuf::from("data/order2"));
    assert_eq!((config.queue_max, config.batch_orders_max), (4096, 256));
    assert_eq!(config.catalog.borrow()[&Ordinal(1)].as_str(), "127.0.0.1:1130");
}

/// A name, the environment, and what the mistakes must contain.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn every_mistake_is_reported() {
    let table: [Case; 6] = [
        ("nothing is set", &[], &["COMPONENT_ID (--component-id) is missing"]),
        ("no such ordinal", &[("COMPONENT_ID", "4")], &["COMPONENT_ID (--component-id) is 4, but ORDER_REPLICAS"]),
        (
            "peers are missing",
            &[("COMPONENT_ID", "1"), ("ORDER_REPLICAS", "5")],
            &["ORDER_HOST_4", "ORDER_PORT_4", "ORDER_HOST_5", "ORDER_PORT_5"],
        ),
        (
            "a replication port is the service port of another replica",
            &[("COMPONENT_ID", "1"), ("ORDER2_PORT_1", "1122")],
            &["order 2 and order replication 1 have the same address, 127.0.0.1:1122"],
        ),
        (
            "the catalog's port is that of an order replica",
            &[("COMPONENT_ID", "1"), ("CATALOG_PORT", "1121")],
            &["order 1 and catalog 1 have the same address"],
        ),
        (
            "many at once",
            &[("ORDER_QUEUE", "0"), ("BATCH_SIZE_MAX", "257"), ("BIND_HOST", "here"), ("INTERNAL_TOKEN", "short")],
            &["COMPONENT_ID", "ORDER_QUEUE", "BATCH_SIZE_MAX", "BIND_HOST", "INTERNAL_TOKEN"],
        ),
    ];
    for (case, environment, expected) in table {
        let mistakes = read(environment).unwrap_err().0;
        for expected in expected {
            let count = mistakes.iter().filter(|mistake| mistake.contains(expected)).count();
            assert_eq!(count, 1, "{case}: {expected} in {mistakes:?}");
        }
    }
}
