//! Loading and saving whole documents.

use benches::Population;
use benches::document_limit::BorrowedDocument;
use benches::measure::{interleaved, single};
use cache_core::{SecretBuffer, TokenCache};

use crate::table::{Table, Target};

pub(crate) fn measure(table: &mut Table) {
    for (tokens, rounds) in [(1_000, 101), (100_000, 9)] {
        let json = Population::Users.document(tokens);
        let cache = TokenCache::deserialize(&json).expect("sound");
        let document = BorrowedDocument::parse(&json);
        let (mut kept, mut buffer) = (SecretBuffer::default(), Vec::new());
        let [load, parse, save, write] = interleaved(
            rounds,
            [
                single(|| TokenCache::deserialize(&json).expect("sound")),
                single(|| BorrowedDocument::parse(&json)),
                single(|| {
                    kept.clear();
                    cache.serialize_into(&mut kept);
                }),
                single(|| document.write_into(&mut buffer)),
            ],
        );
        let megabytes = json.len() as f64 / 1e6;
        let rate = (megabytes, "MB/s");
        table.rates(
            &format!("load {megabytes:.1} MB"),
            "`TokenCache::deserialize` with index and unknown fields, fresh memory each time; limit: `serde_json` into \
             structs that borrow the text, no index, no unknown fields. Dropping is not measured",
            [&load, &parse],
            rate,
            Target::AtLeast(0.8),
        );
        table.rates(
            &format!("save {megabytes:.1} MB"),
            "`TokenCache::serialize_into` a buffer that is kept, wiped first; limit: `serde_json` from those structs into a \
             reused buffer",
            [&save, &write],
            rate,
            Target::AtLeast(0.8),
        );
    }
}
