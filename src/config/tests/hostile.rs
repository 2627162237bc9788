//! No text makes the reader panic, hang or take much memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::ServiceConfig;
use super::super::branch::parse_branch_file;
use super::resolve;

fn read_both_ways(text: &str) {
    let environment = |name: &str| (name == "A").then(|| "a".to_owned());
    let started = Instant::now();
    let rendered = match ServiceConfig::parse(text, "x", Path::new(""), &environment) {
        Ok((_, warnings)) => warnings.render(true),
        Err(findings) => findings.render(true),
    };
    assert!(rendered.len() < 10 * 1024 * 1024);
    let files = [("a/b/c.yaml".to_owned(), Ok(text.to_owned()))].into();
    let loaded = resolve(&files, &BTreeMap::new());
    assert!(loaded.findings.render(true).len() < 10 * 1024 * 1024);
    // Generous for a slow machine: what is not bounded takes minutes.
    assert!(started.elapsed() < Duration::from_secs(60));
}

/// Pieces of YAML, of our keys and of trouble.
fn yaml_like() -> impl Strategy<Value = String> {
    const PIECES: [&str; 50] = [
        "builds",
        "buildscripts",
        "docker",
        "hub",
        "kernels",
        "repositories",
        "secrets",
        "github",
        "token",
        "token_file",
        "artifact",
        "build.sh",
        "a/b",
        "configuration",
        "path",
        "<<",
        "x",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "\n  - ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "'",
        "\"",
        "|\n",
        ">\n",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "? ",
        "---\n",
        "...\n",
        "# ",
        "\t",
        "\r\n",
        "${A}",
        "${",
        "null",
        "~",
        "1",
        "\u{feff}",
        "\0",
    ];
    prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..60)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_yaml_like_text_panics(text in yaml_like()) {
        read_both_ways(&text);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        read_both_ways(&text);
    }
}

#[test]
fn trouble_is_bounded() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let previous = format!("*a{}, ", level - 1).repeat(10);
        laughs += &format!("a{level}: &a{level} [{previous}]\n");
    }
    let mut texts = format!("a: &a \"{}\"\n", "x".repeat(500_000));
    for index in 0..10_000 {
        texts += &format!("b{index}: *a\n");
    }
    let mut undefined = "buildscripts:\n".to_owned();
    for index in 0..2_000 {
        undefined += &format!("  - autobuild/build-{index}.sh\n");
    }
    for index in 0..2_000 {
        undefined += &format!("autobuild/build_{index}.sh: x\n");
    }
    let cases = [
        ("deep flow", "[".repeat(500_000)),
        ("deep maps", "{a: ".repeat(100_000)),
        ("deep block", "- ".repeat(100_000)),
        (
            "many keys",
            (0..100_000).map(|n| format!("k{n}: \n")).collect(),
        ),
        ("one key", format!("{}: x\n", "k".repeat(900_000))),
        ("one line", "x ".repeat(500_000)),
        (
            "many errors",
            (0..15_000).map(|n| format!("k{n}: 1\n")).collect(),
        ),
        ("undefined scripts", undefined),
        ("same key", "k: 1\n".repeat(15_000)),
        ("quotes", "\"".repeat(500_000)),
        ("anchors", "&a ".repeat(300_000)),
        ("questions", "? ".repeat(300_000)),
        ("too large", " ".repeat(2 << 20)),
        ("laughs", laughs),
        ("texts", texts),
    ];
    for (name, text) in cases {
        let started = Instant::now();
        read_both_ways(&text);
        assert!(parse_branch_file(&text).0.is_none(), "{name}");
        eprintln!("{name}: {:?}", started.elapsed());
    }
}
