//! `toystore init-catalog` and `toystore export-catalog`: the stock as a CSV file.

use std::io::{self, Write};
use std::path::PathBuf;

use api::replica::Replicas;
use discovery::{Discovery, Group};
use service::json_client::JsonClient;
use service::lifecycle::{ExitCode, ExitError};
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::{Token, access};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::output::print;

/// The configuration of `init-catalog`.
pub struct InitConfig {
    path: PathBuf,
    overwrite: bool,
}

/// The settings of `init-catalog`.
pub fn init_settings() -> Vec<Setting> {
    let own = vec![
        Setting::new("CATALOG_FILE", "data/catalog.csv", "The file to write"),
        Setting::switch("OVERWRITE", "Replace an existing file"),
    ];
    [own, LogConfig::settings()].concat()
}

impl InitConfig {
    /// Takes the values of the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        let (path, overwrite) = (values.required("CATALOG_FILE"), values.required("OVERWRITE"));
        Some(Self { path: path?, overwrite: overwrite? })
    }
}

/// Writes the default products of a new store, to be edited.
pub async fn init(config: InitConfig, _stop: CancellationToken) -> Result<(), ExitError> {
    catalog::seed::write_initial(&config.path, config.overwrite).map_err(|error| {
        ExitError::new(ExitCode::Failure, format!("{error}; use --overwrite to replace an existing file"))
    })?;
    print(format_args!("wrote {}", config.path.display()));
    Ok(())
}

/// The configuration of `export-catalog`.
pub struct ExportConfig {
    replicas: watch::Receiver<Replicas>,
    discovery: Discovery,
    token: Option<Token>,
    output: Option<PathBuf>,
}

/// The settings of `export-catalog`.
pub fn export_settings() -> Vec<Setting> {
    let own = vec![Setting::optional("OUTPUT", "The file to write [default: standard output]")];
    [
        own,
        access::token_settings(),
        discovery::settings::discovery(),
        discovery::settings::catalog(),
        LogConfig::settings(),
    ]
    .concat()
}

impl ExportConfig {
    /// Takes the values of the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        let mut discovery = Discovery::read(values);
        let replicas = discovery.catalog_replicas(values);
        let token = access::read_token(values);
        Some(Self { replicas: replicas?, discovery, token, output: values.optional("OUTPUT") })
    }
}

/// Writes the accounts of the running catalog as CSV. The file is replaced atomically.
pub async fn export(config: ExportConfig, stop: CancellationToken) -> Result<(), ExitError> {
    let _watching = config.discovery.start();
    let group = Group::new(catalog::GROUP, config.replicas, JsonClient::new(config.token.as_ref()));
    let mut csv = Vec::new();
    tokio::select! {
        exported = catalog::export(&group, &mut csv) => {
            exported.map_err(|error| ExitError::new(ExitCode::Failure, error))?;
        }
        () = stop.cancelled() => return Err(ExitError::new(ExitCode::Failure, "stopped")),
    }
    let write = || match &config.output {
        Some(path) => report::save(path, &csv),
        None => io::stdout().lock().write_all(&csv),
    };
    write().map_err(|error| ExitError::new(ExitCode::Io, error))
}
