//! The tables in `docs/settings.md` list exactly the program's own settings.
//!
//! After a setting was added or changed, write them again with
//! `UPDATE_SETTINGS=1 cargo test -p toystore --test settings`.

use std::fmt::Write;

const BEGIN: &str = "<!-- settings: written by the test `settings` -->\n";
const END: &str = "<!-- end of settings -->\n";

fn tables() -> String {
    let mut tables = String::new();
    for subcommand in toystore::cli::subcommands() {
        writeln!(tables, "\n## `toystore {}`\n\n{}.\n", subcommand.name, subcommand.about).unwrap();
        writeln!(tables, "| variable | flag | default | meaning |\n|---|---|---|---|").unwrap();
        for setting in &subcommand.settings {
            let default = setting.default().map_or_else(String::new, |default| format!("`{default}`"));
            writeln!(tables, "| `{}` | `--{}` | {default} | {} |", setting.env(), setting.flag(), setting.help())
                .unwrap();
        }
    }
    tables.push('\n');
    tables
}

#[test]
fn the_tables_list_the_settings_of_the_program() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("docs/settings.md has the line at which the tables begin");
    let (written, after) = rest.split_once(END).expect("docs/settings.md has the line at which the tables end");
    if written == tables() {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_SETTINGS").is_some(),
        "docs/settings.md is out of date: run UPDATE_SETTINGS=1 cargo test -p toystore --test settings"
    );
    std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", tables())).unwrap();
}
