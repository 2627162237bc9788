//! For tests: which keys of the structs that were read never stood in what was read, which is
//! what `config.example.yaml` forgot to mention.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::document::Entry;

/// Struct and key → whether it was there.
type Seen = BTreeMap<(String, &'static str), bool>;

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

pub fn start() {
    SEEN.with_borrow_mut(Seen::clear);
}

pub fn note(name: &str, known: &'static [&'static str], entries: &[Entry]) {
    let name = name.rsplit("::").next().unwrap_or(name);
    SEEN.with_borrow_mut(|seen| {
        for key in known {
            let is_there = entries
                .iter()
                .any(|entry| entry.key == *key || entry.key.strip_suffix("_file") == Some(*key));
            *seen.entry((name.to_owned(), *key)).or_default() |= is_there;
        }
    });
}

/// The name of each key of each struct that was read.
pub fn known() -> BTreeSet<&'static str> {
    SEEN.with_borrow(|seen| seen.keys().map(|(_, key)| *key).collect())
}

/// As `Struct.key`.
pub fn absent() -> BTreeSet<String> {
    SEEN.with_borrow(|seen| {
        let absent = seen.iter().filter(|(_, is_there)| !**is_there);
        absent
            .map(|((name, key), _)| format!("{name}.{key}"))
            .collect()
    })
}
