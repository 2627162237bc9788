//! YAML text → a tree of nodes that know where they stand.
//!
//! Built from saphyr's event stream rather than its own tree, because here the bounds are
//! checked while reading: a file of 1 MiB cannot become a tree of gigabytes, whether by nesting
//! or by aliases of aliases ("billion laughs").

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::finding::{Finding, Place};

/// Larger than any honest configuration file by a factor of a hundred.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Counted after aliases are expanded.
const MAX_NODES: usize = 20_000;
/// Counted after aliases are expanded: a copied scalar costs its length once more.
const MAX_EXPANDED_BYTES: usize = 8 * MAX_BYTES;
const MAX_DEPTH: usize = 32;

/// One value of the document.
#[derive(Debug, Clone)]
pub struct Node {
    /// The same for an anchored node and its aliases: they share one text and so one error.
    pub id: usize,
    pub place: Place,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub struct Scalar {
    pub text: String,
    /// Without quotes, so that it may be a number, a boolean or null.
    pub plain: bool,
    /// Holds the value of an environment variable, which no message may show.
    pub interpolated: bool,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub key_id: usize,
    pub key_place: Place,
    pub value: Node,
}

impl Node {
    /// Not so the value of a variable: an empty variable is a mistake, not a key left out.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar)
            if scalar.plain && !scalar.interpolated && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Leaves only these keys in a mapping.
    pub fn retain(&mut self, keys: &[&str]) {
        if let Kind::Mapping(entries) = &mut self.kind {
            entries.retain(|entry| keys.contains(&entry.key.as_str()));
        }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    fn size(&self) -> (usize, usize) {
        let add = |(nodes, bytes): (usize, usize), (more_nodes, more_bytes): (usize, usize)| {
            (nodes + more_nodes, bytes + more_bytes)
        };
        match &self.kind {
            Kind::Scalar(scalar) => (1, scalar.text.len()),
            Kind::Sequence(items) => items.iter().map(Node::size).fold((1, 0), add),
            Kind::Mapping(entries) => entries
                .iter()
                .map(|entry| add(entry.value.size(), (1, entry.key.len())))
                .fold((1, 0), add),
        }
    }

    fn depth(&self) -> usize {
        let deepest = match &self.kind {
            Kind::Scalar(_) => None,
            Kind::Sequence(items) => items.iter().map(Node::depth).max(),
            Kind::Mapping(entries) => entries.iter().map(|entry| entry.value.depth()).max(),
        };
        1 + deepest.unwrap_or(0)
    }
}

/// Reads a whole document. The findings are all errors; with a syntax error there is no tree,
/// with a duplicate key there is one that holds the first of them. An empty document is null.
pub fn parse(text: &str) -> (Option<Node>, Vec<Finding>) {
    let mut builder = Builder::default();
    let tree = match builder.build(text) {
        Ok(tree) => Some(tree),
        Err(finding) => {
            builder.findings.push(*finding);
            None
        }
    };
    (tree, builder.findings)
}

/// An error after which there is no tree.
type Stop = Box<Finding>;

/// A collection whose end has not been seen.
enum Open {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<Node>,
        /// What `<<` brought: used where the mapping itself does not say.
        merged: Vec<Entry>,
        lines: HashMap<String, usize>,
    },
}

struct Frame {
    open: Open,
    id: usize,
    place: Place,
    anchor: usize,
}

impl Frame {
    /// What the value that is being read is called in this collection.
    fn key(&self) -> String {
        match &self.open {
            Open::Sequence(items) => (items.len() + 1).to_string(),
            Open::Mapping { key: Some(key), .. } => match &key.kind {
                Kind::Scalar(name) => shorten(&name.text),
                _ => String::new(),
            },
            Open::Mapping { key: None, .. } => String::new(),
        }
    }
}

#[derive(Default)]
struct Builder {
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    expanded_bytes: usize,
    next_id: usize,
    findings: Vec<Finding>,
}

impl Builder {
    fn build(&mut self, text: &str) -> Result<Node, Stop> {
        if text.len() > MAX_BYTES {
            let problem = format!("the file is larger than {MAX_BYTES} bytes");
            return Err(Box::new(Finding::error(Place::START, problem)));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut parser = Parser::new(StrInput::new(text));
        let mut documents = 0;
        while let Some(step) = parser.next_event() {
            let (event, span) = step.map_err(|error| {
                let hint = syntax_hint(error.info()).map(str::to_owned);
                let place = Place::at(error.marker(), 1);
                let finding = Finding::error(place, syntax_message(error.info()));
                Box::new(finding.maybe_hint(hint))
            })?;
            let place = Place::of(&span);
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Box::new(
                            Finding::error(place, "a second document begins here")
                                .expected("one YAML document in a file"),
                        ));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let plain = style == ScalarStyle::Plain && !forces_text(tag.as_deref(), place)?;
                    let scalar = Scalar {
                        text: text.into_owned(),
                        plain,
                        interpolated: false,
                    };
                    let node = self.node(place, Kind::Scalar(scalar))?;
                    self.attach(node, anchor)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.open(Open::Sequence(Vec::new()), &span, anchor, tag.as_deref())?;
                }
                Event::MappingStart(anchor, tag) => {
                    let mapping = Open::Mapping {
                        entries: Vec::new(),
                        key: None,
                        merged: Vec::new(),
                        lines: HashMap::new(),
                    };
                    self.open(mapping, &span, anchor, tag.as_deref())?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
                Event::Alias(anchor) => self.alias(anchor, place)?,
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            }
        }
        match self.root.take() {
            Some(root) => Ok(root),
            None => {
                let nothing = Scalar {
                    text: String::new(),
                    plain: true,
                    interpolated: false,
                };
                self.node(Place::START, Kind::Scalar(nothing))
            }
        }
    }

    fn node(&mut self, place: Place, kind: Kind) -> Result<Node, Stop> {
        let id = self.count(place)?;
        Ok(Node { id, place, kind })
    }

    fn count(&mut self, place: Place) -> Result<usize, Stop> {
        self.nodes += 1;
        self.next_id += 1;
        if self.nodes > MAX_NODES {
            let problem = format!("the file holds more than {MAX_NODES} values");
            return Err(Box::new(Finding::error(place, problem)));
        }
        Ok(self.next_id)
    }

    fn open(
        &mut self,
        open: Open,
        span: &Span,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), Stop> {
        let place = Place::of(span);
        forces_text(tag, place)?;
        if self.frames.len() >= MAX_DEPTH {
            let problem = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Box::new(Finding::error(place, problem)));
        }
        let id = self.count(place)?;
        self.frames.push(Frame {
            open,
            id,
            place,
            anchor,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        // The parser pairs starts and ends; were it wrong, nothing is lost but this node.
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let kind = match frame.open {
            Open::Sequence(items) => Kind::Sequence(items),
            Open::Mapping {
                mut entries,
                merged,
                ..
            } => {
                for entry in merged {
                    if !entries.iter().any(|present| present.key == entry.key) {
                        entries.push(entry);
                    }
                }
                Kind::Mapping(entries)
            }
        };
        let node = Node {
            id: frame.id,
            place: frame.place,
            kind,
        };
        self.attach(node, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        // An anchor is known once its node is complete: an alias inside of itself is not.
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(Box::new(Finding::error(
                place,
                "this alias stands inside what it stands for",
            )));
        };
        let (nodes, bytes) = target.size();
        self.nodes += nodes;
        self.expanded_bytes += bytes;
        if self.nodes > MAX_NODES || self.expanded_bytes > MAX_EXPANDED_BYTES {
            let problem = format!("with its aliases, the file holds more than {MAX_NODES} values");
            return Err(Box::new(Finding::error(place, problem)));
        }
        if self.frames.len() + target.depth() > MAX_DEPTH {
            let problem = format!("with its aliases, nested deeper than {MAX_DEPTH} levels");
            return Err(Box::new(Finding::error(place, problem)));
        }
        let node = target.clone();
        self.attach(node, 0)
    }

    /// Puts a complete node where it belongs: into the innermost open collection.
    fn attach(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            let (_, bytes) = node.size();
            self.expanded_bytes += bytes;
            self.anchors.insert(anchor, node.clone());
        }
        let outer = self.frames.len().saturating_sub(1);
        let outer_keys: Vec<String> = self.frames[..outer].iter().map(Frame::key).collect();
        match self.frames.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::Sequence(items)) => items.push(node),
            Some(Open::Mapping {
                entries,
                key,
                merged,
                lines,
            }) => match key.take() {
                None => *key = Some(node),
                Some(key) => {
                    let Kind::Scalar(name) = key.kind else {
                        return Err(Box::new(
                            Finding::error(key.place, "this key is not a plain word")
                                .expected("a text as key"),
                        ));
                    };
                    if name.plain && name.text == "<<" {
                        merged.extend(merge(node)?);
                        return Ok(());
                    }
                    if let Some(first) = lines.get(&name.text) {
                        let mut keys = outer_keys;
                        keys.push(shorten(&name.text));
                        self.findings.push(
                            Finding::error(key.place, "is there twice")
                                .key(keys.join("."))
                                .hint(format!("the first one is in line {first}")),
                        );
                        return Ok(());
                    }
                    lines.insert(name.text.clone(), key.place.line);
                    entries.push(Entry {
                        key: name.text,
                        key_id: key.id,
                        key_place: key.place,
                        value: node,
                    });
                }
            },
        }
        Ok(())
    }
}

/// What `<<: *common` or `<<: [*one, *two]` adds. Earlier ones win, as YAML's merge type says.
fn merge(node: Node) -> Result<Vec<Entry>, Stop> {
    let place = node.place;
    match node.kind {
        Kind::Mapping(entries) => Ok(entries),
        Kind::Sequence(items) => {
            let mut merged = Vec::new();
            for item in items {
                merged.extend(merge(item)?);
            }
            Ok(merged)
        }
        Kind::Scalar(_) => Err(Box::new(
            Finding::error(place, "`<<` has nothing to merge").expected("an alias of a section"),
        )),
    }
}

/// Whether a tag makes a plain scalar a text (`!!str`). Tags of other kinds would mean types that
/// this program does not know.
fn forces_text(tag: Option<&Tag>, place: Place) -> Result<bool, Stop> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
        Some(tag) => {
            let problem = format!("the tag `{}` means nothing here", shorten(&tag.to_string()));
            Err(Box::new(
                Finding::error(place, problem).hint("quote a text that begins with !"),
            ))
        }
    }
}

fn syntax_message(info: &str) -> String {
    format!("this is not YAML: {info}")
}

fn syntax_hint(info: &str) -> Option<&'static str> {
    if info.contains("while parsing a flow") {
        Some("between { } and [ ], quote ${NAME} and every text that holds one of these or a comma")
    } else if info.contains("tab") {
        Some("YAML is indented with spaces, never with tabs")
    } else if info.contains("mapping values are not allowed") {
        Some("quote a text that holds `: `, and check the indentation")
    } else {
        None
    }
}

/// A hostile name may be megabytes long; the message is for people.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
