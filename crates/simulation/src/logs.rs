//! What the processes log, told within the trace.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event as LogEvent, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::process_world::ProcessWorld;
use crate::trace::Event;

/// Puts into the trace what a process of this thread logs, from `INFO` on.
struct IntoTrace;

impl<S: Subscriber> Layer<S> for IntoTrace {
    fn on_event(&self, event: &LogEvent<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::INFO || event.metadata().target().starts_with("openraft") {
            return;
        }
        if let Some(world) = ProcessWorld::current() {
            let mut line = Line(format!("{} {}:", event.metadata().level(), event.metadata().target()));
            event.record(&mut line);
            world.outside().note(world.machine(), &Event::Logged { line: line.0 });
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// Runs `work` with the logs of its processes in the trace.
pub(crate) fn told<T>(work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(IntoTrace), work)
}
