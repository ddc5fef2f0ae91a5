//! `toystore init-catalog` and `toystore export-catalog`: the stock as a file, for people.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use api::replica::Replicas;
use discovery::{Discovery, Group};
use service::Token;
use service::call::Caller;
use service::lifecycle::ExitCode;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::{Failed, print};

/// What `init-catalog` is told.
pub struct Init {
    path: PathBuf,
    overwrite: bool,
}

/// The settings of `init-catalog`.
pub fn init_settings() -> Vec<Setting> {
    let own = vec![
        Setting::new("CATALOG_FILE", "data/catalog.csv", "The file to write"),
        Setting::switch("OVERWRITE", "Replace the file if there is one"),
    ];
    [own, LogConfig::settings()].concat()
}

impl Init {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let (path, overwrite) = (values.required("CATALOG_FILE"), values.required("OVERWRITE"));
        Some(Self { path: path?, overwrite: overwrite? })
    }
}

/// Writes the products that a store begins with, for a person to edit.
pub async fn init(config: Init, _stop: CancellationToken) -> Result<(), Failed> {
    catalog::seed::write_initial(&config.path, config.overwrite)
        .map_err(|error| Failed::new(ExitCode::Failure, format!("{error}; --overwrite replaces a file")))?;
    print(format_args!("{} is written", config.path.display()));
    Ok(())
}

/// What `export-catalog` is told.
pub struct Export {
    replicas: watch::Receiver<Replicas>,
    discovery: Discovery,
    token: Option<Token>,
    output: Option<PathBuf>,
}

/// The settings of `export-catalog`.
pub fn export_settings() -> Vec<Setting> {
    let own = vec![
        Setting::optional("OUTPUT", "The file to write; standard output if there is none"),
        Setting::optional("INTERNAL_TOKEN", "Secret that the internal ports want"),
    ];
    [own, discovery::settings::discovery(), discovery::settings::catalog(), LogConfig::settings()].concat()
}

impl Export {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let mut discovery = Discovery::read(values);
        let replicas = discovery.catalog_replicas(values);
        let token = values.optional("INTERNAL_TOKEN");
        Some(Self { replicas: replicas?, discovery, token, output: values.optional("OUTPUT") })
    }
}

/// Writes the books of the running catalog as CSV. A file appears whole or not at all.
pub async fn export(config: Export, stop: CancellationToken) -> Result<(), Failed> {
    let _watching = config.discovery.start();
    let group = Group::new(catalog::GROUP, config.replicas, Caller::new(config.token.as_ref()));
    let mut csv = Vec::new();
    tokio::select! {
        exported = catalog::export(&group, &mut csv) => {
            exported.map_err(|error| Failed::new(ExitCode::Failure, error))?;
        }
        () = stop.cancelled() => return Err(Failed::new(ExitCode::Failure, "stopped")),
    }
    let write = || match &config.output {
        Some(path) => File::create(path)?.write_all(&csv),
        None => io::stdout().lock().write_all(&csv),
    };
    write().map_err(|error| Failed::new(ExitCode::Io, error))
}
