//! README's table of variables is the program's own. `UPDATE_README=1 cargo test -p toystore --test readme` writes it anew.

use std::fmt::Write;

const BEGIN: &str = "<!-- settings: written by the test `readme` -->\n";
const END: &str = "<!-- end of settings -->\n";

fn table() -> String {
    let mut table = String::new();
    for subcommand in toystore::cli::subcommands() {
        writeln!(table, "\n#### `toystore {}`\n\n{}.\n", subcommand.name, subcommand.about).unwrap();
        writeln!(table, "| variable | flag | default | meaning |\n|---|---|---|---|").unwrap();
        for setting in &subcommand.settings {
            let default = setting.default().map_or_else(String::new, |default| format!("`{default}`"));
            writeln!(table, "| `{}` | `--{}` | {default} | {} |", setting.env(), setting.flag(), setting.help())
                .unwrap();
        }
    }
    table.push('\n');
    table
}

#[test]
fn the_table_of_settings_is_the_programs_own() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("README has the table's beginning");
    let (written, after) = rest.split_once(END).expect("README has the table's end");
    if written == table() {
        return;
    }
    assert!(std::env::var_os("UPDATE_README").is_some(), "README's table of settings is stale: see this test's head");
    std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
}
