//! What a store warns of, collected instead of printed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// The result of `work`, and the warnings that were raised on this thread meanwhile.
pub(super) fn of<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let collected = Collected::default();
    let subscriber = tracing_subscriber::registry().with(collected.clone());
    let result = tracing::subscriber::with_default(subscriber, work);
    let warnings = std::mem::take(&mut *collected.0.lock().unwrap_or_else(PoisonError::into_inner));
    (result, warnings)
}

#[derive(Debug, Clone, Default)]
struct Collected(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Collected {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let mut message = Message::default();
        event.record(&mut message);
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A file is looked at more than once.
        if !warnings.contains(&message.0) {
            warnings.push(message.0);
        }
    }
}

/// The text of an event, without its fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
