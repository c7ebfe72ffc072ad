//! The physical limits beside which the figures stand.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use cache_core::TokenCache;
use cache_core::schema::AccessToken;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::case::{Case, Probe};
use crate::timer::{Timer, timed};
use crate::{Failure, Report};

/// A hash map by the text of the key: what a lookup costs that builds the key of the unified schema, probes for it and
/// clones the handle of what it finds. It knows no scopes, aliases, letter case or expiry.
pub(crate) struct KeyedMap(HashMap<String, Arc<AccessToken>, FixedState>);

impl KeyedMap {
    pub(crate) fn of(cache: &TokenCache) -> Self {
        Self(cache.access_tokens().map(|(id, token)| (id.key().to_owned(), Arc::clone(token))).collect())
    }

    pub(crate) fn find(&self, case: &Case, probe: &Probe) -> Option<Arc<AccessToken>> {
        let parts = [
            &*probe.home_account_id,
            "-",
            &case.environment,
            "-accesstoken-",
            &case.client_id,
            "-",
            &probe.realm,
            "-",
            &probe.key_target,
        ];
        let mut key = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            key.push_str(part);
        }
        self.0.get(&key).map(Arc::clone)
    }

    pub(crate) fn secret(&self, case: &Case, probe: &Probe) -> Result<String, Failure> {
        let token = self.find(case, probe).ok_or("the document spells its keys in another way")?;
        Ok(token.secret.expose().to_owned())
    }
}

/// One `stat` of the file, and one durable replacement of it by a file of the same size.
pub(crate) fn of_file(path: &Path, timer: &Timer, case: &Case, report: &mut Report) -> Result<(), Failure> {
    report.figure("limit.stat", timer.rounds(&case.probes, |_| drop(black_box(fs::metadata(black_box(path))))));

    let bytes = fs::read(path)?;
    let (temporary, target) = (path.with_extension("temporary"), path.with_extension("limit"));
    let replace = || {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    };
    replace()?;
    let timed_replace = || {
        let (replaced, time) = timed(replace);
        replaced.map(|()| time)
    };
    report.figure("limit.save_one", timer.repeat(1, timed_replace)?);
    Ok(())
}
