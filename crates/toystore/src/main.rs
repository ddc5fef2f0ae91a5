//! `toystore`: see `toystore --help`.

use std::process::ExitCode;

use service::lifecycle::ExitCode as Code;

fn main() -> ExitCode {
    match toystore::cli::command().try_get_matches() {
        Ok(matches) => toystore::cli::run(&matches),
        Err(error) => {
            // Help and version go to standard output and are no failure; a failed print changes nothing about that.
            let _ = error.print();
            if error.use_stderr() { Code::Usage.into() } else { Code::Ok.into() }
        }
    }
}
