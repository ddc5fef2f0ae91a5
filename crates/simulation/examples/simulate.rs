//! `toystore simulate` without the rest of the binary, which takes longer to build.

use std::io::Write;
use std::process::ExitCode;

use service::lifecycle::ExitCode as Code;
use service::settings::{ProcessEnvironment, Values, command};
use simulation::command::{Config, settings, simulate};

fn main() -> ExitCode {
    let settings = settings();
    let matches = command("simulate", "Run the store under virtual time and seeded faults", &settings).get_matches();
    let mut values = Values::read(&settings, &matches, &ProcessEnvironment);
    let config = Config::read(&mut values);
    match values.finish(config) {
        Ok(config) => {
            let print = |line: &str| drop(writeln!(std::io::stdout().lock(), "{line}"));
            simulate(&config, &print).exit_code().into()
        }
        Err(mistakes) => {
            drop(write!(std::io::stderr(), "{mistakes}"));
            Code::Usage.into()
        }
    }
}
