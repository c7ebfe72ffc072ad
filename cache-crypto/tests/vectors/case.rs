//! Reads one test vector: a JSON file that `generate.py` wrote.

use cache_core::{Context, Part, PartitionKey, UnixMillis, UnixSeconds};
use serde_json::Value;

pub(crate) struct Case {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) key_id: Option<Vec<u8>>,
    pub(crate) passphrase: Option<String>,
    /// `ok`, or the kind of the failure.
    pub(crate) opens: String,
    pub(crate) plaintext: Option<Vec<u8>>,
    pub(crate) envelope: Vec<u8>,
    context: Value,
    partition: PartitionKey,
    id: Vec<u8>,
    account: Vec<u8>,
}

impl Case {
    pub(crate) fn parse(json: &str) -> Self {
        let value: Value = serde_json::from_str(json).expect("a vector is JSON");
        let hex = |value: &Value| value.as_str().map(bytes);
        let context = value["context"].clone();
        Self {
            key: hex(&value["key"]),
            key_id: hex(&value["key_id"]),
            passphrase: value["passphrase"].as_str().map(str::to_owned),
            opens: value["opens"].as_str().expect("each vector says how it opens").to_owned(),
            plaintext: hex(&value["plaintext"]),
            envelope: hex(&value["envelope"]).expect("each vector has an envelope"),
            partition: partition(&context["partition"]),
            id: hex(&context["id"]).unwrap_or_default(),
            account: hex(&context["account"]).unwrap_or_default(),
            context,
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        let store = self.context["store"].as_str().expect("a store kind");
        let part = match self.context["part"].as_str().expect("a part") {
            "document" => Part::Document,
            "name" => Part::Name,
            "journal" => Part::Journal,
            "index_key" => Part::IndexKey,
            _ => Part::Entry {
                id: &self.id,
                written_at: self.context["written_at"].as_i64().map(UnixMillis),
                expires_on: self.context["expires_on"].as_i64().map(UnixSeconds),
                account: &self.account,
            },
        };
        Context::of(store, &self.partition, part)
    }
}

fn partition(value: &Value) -> PartitionKey {
    let part = |n: usize| value["parts"][n].as_str();
    match value["kind"].as_str().expect("a kind") {
        "shared" => PartitionKey::Shared,
        "user" => PartitionKey::user(part(0).expect("a home account id")),
        _ => {
            let PartitionKey::App(mut app) = PartitionKey::app(part(0).expect("a client id"), part(1)) else {
                unreachable!("app gives an application's partition")
            };
            app.pop_key_id = part(2).map(Into::into);
            app.extended_key_hash = part(3).map(Into::into);
            app.into()
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}
