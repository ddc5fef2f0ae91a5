//! Adds the logs of the processes to the trace.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event as LogEvent, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::process_world::ProcessWorld;
use crate::trace::TraceEvent;

/// Adds to the trace what a process of this thread logs, from level `INFO` on.
struct IntoTrace;

impl<S: Subscriber> Layer<S> for IntoTrace {
    fn on_event(&self, event: &LogEvent<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::INFO || event.metadata().target().starts_with("openraft") {
            return;
        }
        if let Some(world) = ProcessWorld::current() {
            let mut line = LogLine(format!("{} {}:", event.metadata().level(), event.metadata().target()));
            event.record(&mut line);
            world.environment().note(world.machine(), &TraceEvent::Logged { line: line.0 });
        }
    }
}

struct LogLine(String);

impl Visit for LogLine {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// Runs `work` with the logs of its processes in the trace.
pub(crate) fn with_logs_in_trace<T>(work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(IntoTrace), work)
}
