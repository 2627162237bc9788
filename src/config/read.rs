//! Tree → typed value, with every error and not only the first.
//!
//! serde's derived readers stop at their first error. So they are run again: each round ends in
//! one error, the node that caused it is put aside as if it were not there, and the next round
//! finds the next. What was put aside once causes no further error. This keeps a configuration
//! key to one line of one struct, and still tells an operator everything at once.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::iter;
use std::path::{Path, PathBuf};

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

#[cfg(test)]
use super::coverage;
use super::document::{Entry, Kind, Node, Scalar, shorten};
use super::finding::{Finding, Place};
use super::problem::{Problem, did_you_mean, unknown_key};

/// Past this many errors the file is something else altogether.
pub const MAX_ERRORS: usize = 50;
/// A secret's file; an RSA key of 16,384 bits has 13 KiB.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The newtype names by which [`super::Secret`] and [`super::Secrets`] make themselves known to
/// the reader below, so that `x_file` works for each of them and for nothing else.
pub const SECRET: &str = "Secret";
pub const SECRETS: &str = "Secrets";

/// The reading of one file, of which several values may be read.
pub struct Reading<'de> {
    /// What the paths of secrets' files are relative to.
    base: &'de Path,
    /// The nodes that are reported and count as left out.
    aside: BTreeSet<usize>,
    pub findings: Vec<Finding>,
}

impl<'de> Reading<'de> {
    pub fn new(base: &'de Path, findings: Vec<Finding>) -> Self {
        Self {
            base,
            aside: BTreeSet::new(),
            findings,
        }
    }

    /// Reports a node, which counts as left out from now on.
    pub fn put_aside(&mut self, id: usize, finding: Finding) {
        self.aside.insert(id);
        self.findings.push(finding);
    }

    /// Reads a value; `None` where errors leave no value. `place` is what errors of the value as
    /// a whole point to.
    pub fn read<T: Deserialize<'de>>(&mut self, node: &'de Node, place: Place) -> Option<T> {
        for _ in 0..MAX_ERRORS {
            let scope = Scope {
                base: self.base,
                aside: &self.aside,
            };
            let reader = Reader { node, place, scope };
            let problem = match T::deserialize(reader) {
                Ok(value) => return Some(value),
                Err(problem) => problem.at(node.id, place),
            };
            let (id, finding) = problem.conclude();
            self.findings.extend(finding);
            // The whole has no place that it could be left out of.
            let id = id.filter(|id| *id != node.id)?;
            if !self.aside.insert(id) {
                return None;
            }
        }
        let finding = Finding::error(place, "there are too many errors to go on");
        self.findings.push(finding);
        None
    }
}

#[derive(Clone, Copy)]
struct Scope<'de, 'a> {
    base: &'de Path,
    aside: &'a BTreeSet<usize>,
}

impl Scope<'_, '_> {
    fn is_aside(&self, entry: &Entry) -> bool {
        self.aside.contains(&entry.key_id) || self.aside.contains(&entry.value.id)
    }
}

struct Reader<'de, 'a> {
    node: &'de Node,
    /// What errors of this value point to: of a section, its key.
    place: Place,
    scope: Scope<'de, 'a>,
}

impl<'de> Reader<'de, '_> {
    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Scalar(scalar) => visit_scalar(scalar, visitor),
            Kind::Sequence(items) => visitor.visit_seq(Items {
                items: items.iter(),
                position: 0,
                scope: self.scope,
            }),
            Kind::Mapping(entries) => {
                visitor.visit_map(Entries::new(entries, None, false, self.scope))
            }
        }
    }

    /// Texts are taken as they are written: a branch `1.10` is no number, and an environment
    /// variable may be `true`.
    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Scalar(scalar) if !self.node.is_null() => {
                visitor.visit_borrowed_str(&scalar.text)
            }
            _ => self.any(visitor),
        }
    }

    fn section<V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        // A section whose keys are all commented out is null, and means all its defaults.
        let entries = match &self.node.kind {
            Kind::Scalar(_) if self.node.is_null() => &[],
            Kind::Mapping(entries) => entries.as_slice(),
            Kind::Scalar(_) => return Err(single_value()),
            // serde would take the items for the fields, in their order.
            Kind::Sequence(_) => {
                return Err(Problem::new("found a list").expected("a section"));
            }
        };
        #[cfg(test)]
        coverage::note(std::any::type_name::<V::Value>(), known, entries);
        let scope = self.scope;
        visitor
            .visit_map(Entries::new(entries, Some(known), true, scope))
            .map_err(|problem: Problem| {
                problem.unless_reported(|missing| {
                    // It may have been reported under the name that it was misspelt to.
                    let is_for = |key: &str| {
                        key.strip_suffix("_file").unwrap_or(key) == missing
                            || did_you_mean(key, iter::once(missing)).is_some()
                    };
                    let mut reported = entries.iter().filter(|entry| scope.is_aside(entry));
                    reported.any(|entry| is_for(&entry.key))
                })
            })
    }
}

/// Where a section should be. Not shown: it may be what belongs into the section, such as the
/// password in place of user and password.
fn single_value() -> Problem {
    Problem::new("found a single value")
        .expected("a section")
        .of_a_secret()
}

/// serde_yaml decides what a plain scalar is: null, a boolean, a number or a text.
fn visit_scalar<'de, V: Visitor<'de>>(
    scalar: &'de Scalar,
    visitor: V,
) -> Result<V::Value, Problem> {
    // Everything that can be a number, a boolean or null is made of these. What is not must not
    // be parsed again: the value of a variable may hold YAML of its own. Quotes around a variable
    // are often needed in YAML, and do not mean that the value is a text.
    let may_be_special = (scalar.plain || scalar.interpolated)
        && scalar.text.len() <= 40
        && scalar
            .text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.~_".contains(&byte));
    let value = match may_be_special {
        true => serde_yaml::from_str(&scalar.text).unwrap_or(serde_yaml::Value::Bool(false)),
        false => serde_yaml::Value::String(scalar.text.clone()),
    };
    match value {
        serde_yaml::Value::Null => visitor.visit_unit(),
        serde_yaml::Value::Bool(value) => visitor.visit_bool(value),
        serde_yaml::Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                visitor.visit_u64(number)
            } else if let Some(number) = number.as_i64() {
                visitor.visit_i64(number)
            } else {
                visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        _ => visitor.visit_borrowed_str(&scalar.text),
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.place);
        self.any(visitor).map_err(|problem| problem.at(id, place))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.place);
        self.text(visitor).map_err(|problem| problem.at(id, place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.is_null() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.place);
        self.section(known, visitor)
            .map_err(|problem| problem.at(id, place))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.place);
        let result = match &self.node.kind {
            Kind::Scalar(_) if self.node.is_null() => {
                visitor.visit_map(Entries::new(&[], None, false, self.scope))
            }
            Kind::Scalar(_) => Err(single_value()),
            _ => self.any(visitor),
        };
        result.map_err(|problem| problem.at(id, place))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.place);
        self.any(visitor).map_err(|problem| problem.at(id, place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let result = match &self.node.kind {
            Kind::Scalar(scalar) => {
                let text: StrDeserializer<Problem> = scalar.text.as_str().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            Kind::Sequence(_) => Err(Problem::new("found a list").expected(variants.join(" | "))),
            Kind::Mapping(_) => Err(Problem::new("found a section").expected(variants.join(" | "))),
        };
        result.map_err(|problem| problem.at(self.node.id, self.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let (id, place) = (self.node.id, self.place);
        let result = match (name, &self.node.kind) {
            (SECRETS, Kind::Mapping(entries)) => {
                let entries = Entries::new(entries, None, true, self.scope);
                visitor.visit_newtype_struct(de::value::MapAccessDeserializer::new(entries))
            }
            (SECRET, _) => visitor
                .visit_newtype_struct(self)
                .map_err(Problem::of_a_secret),
            _ => visitor.visit_newtype_struct(self),
        };
        result.map_err(|problem| problem.at(id, place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

struct Items<'de, 'a> {
    items: std::slice::Iter<'de, Node>,
    position: usize,
    scope: Scope<'de, 'a>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Problem> {
        for node in self.items.by_ref() {
            self.position += 1;
            if self.scope.aside.contains(&node.id) {
                continue;
            }
            let place = node.place;
            let reader = Reader {
                node,
                place,
                scope: self.scope,
            };
            let result = seed.deserialize(reader).map(Some);
            let position = self.position.to_string();
            return result.map_err(|problem| problem.of_value(node, place).below(&position));
        }
        Ok(None)
    }
}

struct Entries<'de, 'a> {
    all: &'de [Entry],
    rest: std::slice::Iter<'de, Entry>,
    /// The keys of a section; `None` where any key may stand.
    known: Option<&'static [&'static str]>,
    /// Whether `x_file` may stand for a secret `x`.
    files: bool,
    current: Option<(&'de Entry, bool)>,
    scope: Scope<'de, 'a>,
}

impl<'de, 'a> Entries<'de, 'a> {
    fn new(
        all: &'de [Entry],
        known: Option<&'static [&'static str]>,
        files: bool,
        scope: Scope<'de, 'a>,
    ) -> Self {
        Self {
            all,
            rest: all.iter(),
            known,
            files,
            current: None,
            scope,
        }
    }

    /// The key that an entry is for, and whether its value is the path of a file.
    fn meaning(&self, entry: &'de Entry) -> Result<(&'de str, bool), Problem> {
        let key = entry.key.as_str();
        let secret = key.strip_suffix("_file").filter(|_| self.files);
        let (name, is_file) = match (self.known, secret) {
            (Some(known), _) if known.contains(&key) => (key, false),
            (Some(known), Some(secret)) if known.contains(&secret) => (secret, true),
            (Some(known), _) => return Err(unknown_key(key, known)),
            (None, Some(secret)) => (secret, true),
            (None, None) => (key, false),
        };
        let is_other = |other: &&Entry| other.key == name && !self.is_left_out(other);
        if is_file
            && !self.is_left_out(entry)
            && let Some(other) = self.all.iter().find(is_other)
        {
            return Err(
                Problem::new(format!("both `{name}` and `{key}` are given")).hint(Some(format!(
                    "`{name}` is in line {}",
                    other.key_place.line
                ))),
            );
        }
        Ok((name, is_file))
    }

    /// In a section, null is the same as leaving the key out.
    fn is_left_out(&self, entry: &Entry) -> bool {
        self.known.is_some() && entry.value.is_null()
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        while let Some(entry) = self.rest.next() {
            if self.scope.aside.contains(&entry.key_id) {
                continue;
            }
            let (name, is_file) = self
                .meaning(entry)
                .map_err(|problem| problem.at(entry.key_id, entry.key_place).below(&entry.key))?;
            if self.is_left_out(entry) || self.scope.is_aside(entry) {
                continue;
            }
            self.current = Some((entry, is_file));
            return seed
                .deserialize(BorrowedStrDeserializer::new(name))
                .map(Some)
                .map_err(|problem: Problem| {
                    problem.at(entry.key_id, entry.key_place).below(&entry.key)
                });
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Problem> {
        let (entry, is_file) = self.current.take().expect("serde asks for the key first");
        let (node, scope) = (&entry.value, self.scope);
        let place = match node.kind {
            Kind::Scalar(_) => node.place,
            Kind::Sequence(_) | Kind::Mapping(_) => entry.key_place,
        };
        let result = match is_file {
            true => seed.deserialize(SecretFile {
                entry,
                base: scope.base,
            }),
            false => seed
                .deserialize(Reader { node, place, scope })
                .map_err(|problem| problem.of_value(node, place)),
        };
        result.map_err(|problem| problem.at(node.id, place).below(&entry.key))
    }
}

/// Stands where `x_file: PATH` was given for `x`: yields the file's content to a secret, and to
/// anything else an error.
struct SecretFile<'de> {
    entry: &'de Entry,
    base: &'de Path,
}

impl SecretFile<'_> {
    fn content(&self) -> Result<String, Problem> {
        let path: PathBuf = match &self.entry.value.kind {
            Kind::Scalar(scalar) if !scalar.text.is_empty() => self.base.join(&scalar.text),
            _ => return Err(Problem::new("this is not a path").expected("the path of a file")),
        };
        let shown = shorten(&path.display().to_string());
        let mut text = String::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| Problem::new(format!("cannot read {shown}: {error}")))?;
        if text.len() as u64 > MAX_SECRET_BYTES {
            let message = format!("{shown} is larger than {MAX_SECRET_BYTES} bytes");
            return Err(Problem::new(message));
        }
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(Problem::new(format!("{shown} is empty")));
        }
        Ok(text.to_owned())
    }
}

impl<'de> Deserializer<'de> for SecretFile<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Problem> {
        let key = &self.entry.key;
        let hint = "only a secret may be given as a file".to_owned();
        Err(
            Problem::new(format!("`{}` is not a known key", shorten(key)))
                .hint(Some(hint))
                .at(self.entry.key_id, self.entry.key_place),
        )
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        if name != SECRET {
            return self.deserialize_any(visitor);
        }
        let content: StringDeserializer<Problem> = self.content()?.into_deserializer();
        visitor.visit_newtype_struct(content)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
