//! Everything that code traces, as text.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry;

use super::shown;

/// Runs `work` and answers every event and every span's fields that this thread traced meanwhile, of every level.
/// What `work` does on other threads is not seen.
pub fn capture_traces(work: impl FnOnce()) -> String {
    hear_every_trace();
    let text = Arc::new(Mutex::new(String::new()));
    let subscriber = registry().with(Capture(Arc::clone(&text)));
    tracing::subscriber::with_default(subscriber, work);
    std::mem::take(&mut *text.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From here on a subscriber of any thread hears all that it asks for, also beside threads that have none.
/// [`capture_traces`] sees to it by itself; a test with another subscriber calls this first.
///
/// As long as there is one subscriber only, `tracing` asks the thread that comes to a place of the code first whether
/// anybody wants to hear of it, and takes the answer for all threads: another test's thread would say no for this one. A
/// second one, which hears nothing, makes it ask all subscribers.
pub fn hear_every_trace() {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| Dispatch::new(NoSubscriber::default()));
}

struct Capture(Arc<Mutex<String>>);

impl Capture {
    fn write(&self, what: &str, metadata: Option<&Metadata<'_>>, fields: impl FnOnce(&mut Fields<'_>)) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(what);
        if let Some(metadata) = metadata {
            // Writing into a String cannot fail.
            let _ = write!(text, " {} {} {}", metadata.level(), metadata.target(), metadata.name());
        }
        fields(&mut Fields(&mut text));
        text.push('\n');
    }
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.write("span", Some(attributes.metadata()), |fields| attributes.record(fields));
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.write("record", None, |fields| values.record(fields));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.write("event", Some(event.metadata()), |fields| event.record(fields));
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let _ = write!(self.0, " {field}={}", shown(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Planted;

    #[test]
    fn everything_traced_is_captured() {
        let planted = Planted::new("token");
        let text = planted.text().to_owned();
        let error = std::io::Error::other(text.clone());
        let leaks: [(&str, &dyn Fn()); 7] = [
            ("message", &|| tracing::trace!("read {text}")),
            ("field", &|| tracing::debug!(text, "read")),
            ("display field", &|| tracing::info!(%text)),
            ("debug field", &|| tracing::warn!(bytes = ?text.as_bytes())),
            ("error field", &|| tracing::error!(error = &error as &(dyn Error + 'static))),
            ("span", &|| drop(tracing::trace_span!("load", text))),
            ("field recorded later", &|| {
                let span = tracing::info_span!("load", text = tracing::field::Empty);
                span.record("text", &text);
            }),
        ];
        for (what, leak) in leaks {
            assert!(planted.found_in(capture_traces(leak)).is_some(), "a leak by {what} is seen");
        }
        assert_eq!(capture_traces(|| ()), "");
    }

    #[test]
    fn what_a_thread_without_a_subscriber_comes_to_first_is_captured_too() {
        let pass = || tracing::info!("passes by");
        let text = capture_traces(|| {
            std::thread::scope(|scope| scope.spawn(pass).join()).expect("no panic");
            pass();
        });
        assert_eq!(text.matches("passes by").count(), 1, "{text}");
    }
}
