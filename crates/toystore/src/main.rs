//! `toystore`: see `toystore --help`.

use std::process::ExitCode;

use service::lifecycle::{ExitCode as Code, stop_on_signal};

fn main() -> ExitCode {
    let stop = stop_on_signal();
    match toystore::cli::command().try_get_matches() {
        Ok(matches) => toystore::cli::run(&matches, &stop),
        Err(error) => {
            // Help and version are printed to standard output and are not failures; a failed print
            // changes nothing about that.
            let _ = error.print();
            if error.use_stderr() { Code::Usage.into() } else { Code::Ok.into() }
        }
    }
}
