//! The life of a server process, between the configuration and the exit code.

use std::io;
use std::net::IpAddr;

use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::exit::{ExitCode, ExitError};
use crate::http::Listener;

/// What differs between the server processes of the store. What they share is [`run`].
pub trait Process: Sized + Send {
    /// The values of its settings.
    type Config: Send + Sync;
    /// Keeps the addresses of other processes up to date until it is dropped.
    type Watch: Send;

    /// Who may use the ports.
    fn access(config: &Self::Config) -> &Access;

    /// Binds the ports.
    ///
    /// # Errors
    /// If a port cannot be bound. The message names it.
    fn bind(config: &Self::Config) -> io::Result<Listeners>;

    /// Begins to watch for addresses, and waits for what the process cannot start without.
    fn prepare(config: &Self::Config) -> impl Future<Output = Self::Watch> + Send;

    /// Builds the process, and serves both ports.
    fn start(config: Self::Config, listeners: Listeners) -> impl Future<Output = Result<Self, ExitError>> + Send;

    /// Stops in good order: is unready, gives its duties to other processes, finishes the requests
    /// in flight, and closes its files.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// Runs a process until `stop` is cancelled and it has stopped in good order.
///
/// Ports are bound first: a port in use is a mistake to report at once, and connections that arrive
/// before the process serves wait in the kernel. Addresses are watched to the very end, since a
/// leader that stops needs them to transfer its leadership.
///
/// # Errors
/// If a port cannot be bound, or the process cannot start.
pub async fn run<P: Process>(config: P::Config, stop: CancellationToken) -> Result<(), ExitError> {
    let listeners = P::bind(&config).map_err(|error| ExitError::new(ExitCode::Failure, error))?;
    P::access(&config).log();
    let Some(_watch) = stop.run_until_cancelled(P::prepare(&config)).await else { return Ok(()) };
    let process = P::start(config, listeners).await?;
    stop.cancelled().await;
    process.stop().await;
    Ok(())
}

/// The two ports of a process, bound but not served yet.
#[derive(Debug)]
pub struct Listeners {
    /// The port that most clients use: the public API, or the service port of a replica.
    pub main: Listener,
    /// The port that only a few other processes use: the internal or the replication port.
    pub side: Listener,
}

impl Listeners {
    /// Binds both ports on the address `host`; see [`Listener::bind`]. Beside each port is the host
    /// name by which other processes call it, if there is one.
    ///
    /// # Errors
    /// If a port cannot be bound. The message names it.
    pub fn bind(host: IpAddr, main: (u16, Option<&str>), side: (u16, Option<&str>)) -> io::Result<Self> {
        let bind = |(port, name): (u16, Option<&str>)| {
            let listener = Listener::bind(host, port)?;
            Ok::<_, io::Error>(name.into_iter().fold(listener, Listener::with_host_name))
        };
        Ok(Self { main: bind(main)?, side: bind(side)? })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::*;

    /// What [`run`] has done so far.
    type Phases = Arc<Mutex<Vec<&'static str>>>;

    struct Recorder(Phases);

    struct Config {
        access: Access,
        port: u16,
        phases: Phases,
        prepared: Mutex<Option<oneshot::Receiver<()>>>,
    }

    impl Config {
        fn note(&self, phase: &'static str) {
            self.phases.lock().unwrap().push(phase);
        }
    }

    impl Process for Recorder {
        type Config = Config;
        type Watch = ();

        fn access(config: &Config) -> &Access {
            config.note("access");
            &config.access
        }

        fn bind(config: &Config) -> io::Result<Listeners> {
            config.note("bind");
            Listeners::bind(config.access.bind_host, (config.port, None), (0, Some("replica")))
        }

        async fn prepare(config: &Config) {
            config.note("prepare");
            let prepared = config.prepared.lock().unwrap().take().unwrap();
            prepared.await.unwrap();
        }

        async fn start(config: Config, listeners: Listeners) -> Result<Self, ExitError> {
            config.note("start");
            assert_ne!(listeners.main.address(), listeners.side.address());
            Ok(Self(config.phases))
        }

        async fn stop(self) {
            self.0.lock().unwrap().push("stop");
        }
    }

    fn config(port: u16) -> (Config, oneshot::Sender<()>) {
        let access = Access { token: None, bind_host: Ipv4Addr::LOCALHOST.into() };
        let (prepare, prepared) = oneshot::channel();
        (Config { access, port, phases: Phases::default(), prepared: Mutex::new(Some(prepared)) }, prepare)
    }

    #[tokio::test]
    async fn a_process_is_started_when_it_is_prepared_and_stopped_when_it_is_told_to() {
        let ((config, prepare), stop) = (config(0), CancellationToken::new());
        let phases = Arc::clone(&config.phases);
        let running = tokio::spawn(run::<Recorder>(config, stop.clone()));
        prepare.send(()).unwrap();
        while phases.lock().unwrap().last() != Some(&"start") {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(*phases.lock().unwrap(), ["bind", "access", "prepare", "start", "stop"]);
    }

    #[tokio::test]
    async fn a_process_that_is_told_to_stop_before_it_is_prepared_is_not_started() {
        let ((config, _prepare), stop) = (config(0), CancellationToken::new());
        let phases = Arc::clone(&config.phases);
        let running = tokio::spawn(run::<Recorder>(config, stop.clone()));
        tokio::task::yield_now().await;
        stop.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(*phases.lock().unwrap(), ["bind", "access", "prepare"]);
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_before_anything_else_happens() {
        let taken = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let (config, _prepare) = config(taken.address().port());
        let phases = Arc::clone(&config.phases);
        let error = run::<Recorder>(config, CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.code, ExitCode::Failure);
        assert!(error.to_string().starts_with(&format!("port {}: ", taken.address().port())), "{error}");
        assert_eq!(*phases.lock().unwrap(), ["bind"]);
    }
}
