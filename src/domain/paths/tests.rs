//! Patterns beside GitHub's examples and a matcher that tries everything; filters by their words.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn patterns(list: &[&str]) -> Patterns {
    let list: Vec<Pattern> = list.iter().map(|text| text.parse().unwrap()).collect();
    Patterns::try_from(list).unwrap()
}

fn files(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// In each line: patterns, what they match, what they do not.
const GITHUBS_EXAMPLES: &str = r"
    *                                | README.md server.rb                                      | docs/README.md
    *.jsx?                           | page.js page.jsx                                        | page.jsxx page.j a/page.js
    **                               | all/the/files.md file                                   |
    *.js                             | app.js index.js                                         | js/index.js app.jsx
    **.js                            | index.js js/index.js src/js/app.js                      | index.js/x
    docs/*                           | docs/README.md docs/file.txt                            | docs/a/b docs a/docs/b
    docs/**                          | docs/README.md docs/mona/octocat.txt                    | docs x/docs/a
    docs/**/*.md                     | docs/README.md docs/mona/hello-world.md docs/a/markdown/file.md | docs/a.txt docsx/a.md README.md
    **/docs/**                       | docs/hello.md dir/docs/my-file.txt space/docs/plan/space.doc | mydocs/hello.md docs
    **/README.md                     | README.md js/README.md                                  | xREADME.md README.md/x
    **/*src/**                       | a/src/app.js my-src/code/js/app.js                      | src-a/app.js src
    **/*-post.md                     | my-post.md path/their-post.md                           | post.md
    **/migrate-*.sql                 | migrate-10909.sql db/migrate-v1.0.sql db/sept/migrate-v1.sql | db/migrate-a/b.sql migrate.sql
    *.md !README.md                  | hello.md                                                | README.md docs/hello.md
    *.md !README.md README*          | hello.md README.md README.doc                           | x
    feature/*                        | feature/my-branch feature/your-branch                   | feature/a/b
    feature/**                       | feature/beta-a/my-branch feature/mona/the/octocat       | feature
    main releases/mona-the-octocat   | main releases/mona-the-octocat                          | mai
    *feature                         | mona-feature feature ver-10-feature                     | a/feature
    v2*                              | v2 v2.0 v2.9                                            | v1 v2/x
    v[12].[0-9]+.[0-9]+              | v1.10.1 v2.0.0                                          | v3.0.0 v1..0 v1x0x0
    Octo*                            | Octocat                                                 | octocat
    [CB]at                           | Cat Bat                                                 | at CBat
    [1-2]00                          | 100 200                                                 | 300 -00
";

/// What follows from the words beside them.
const FURTHER_EXAMPLES: &str = r"
    a\*b c\? d\+ \[e\] \!f           | a*b c? d+ [e] !f                                        | ab c dd e f
    a!b                              | a!b                                                     | ab
    [a-z_.-]+                        | a.b_c-d z                                               | A a/b
    [\]\\\!x]                        | ] \ ! x                                                 | [ y
    a]b{1,2}/(c)$^.#~&               | a]b{1,2}/(c)$^.#~&                                      | a]b/c
    é?x*                             | éx x xü                                                 | ééx
    a**b                             | ab a/b a/x/b                                            | a
    a**/b                            | a/b a/x/b ax/b                                          | ab
    a/***                            | a/b a/b/c                                               | a
    **/**/a                          | a x/a x/y/a                                             | xa
    src/** !src/**.md src/spec.md    | src/a.rs src/spec.md                                    | src/a.md
    !a a                             | a                                                       | b
";

#[test]
fn patterns_match_what_github_documents() {
    let examples = [GITHUBS_EXAMPLES, FURTHER_EXAMPLES].map(str::trim);
    for line in examples.iter().flat_map(|examples| examples.lines()) {
        let mut columns = line.split('|').map(str::split_whitespace);
        let mut column = || columns.next().unwrap().collect::<Vec<&str>>();
        let matcher = patterns(&column()).matcher();
        let (matched, unmatched) = (column(), column());
        assert!(matched.iter().all(|path| matcher.matches(path)), "{line}");
        assert!(
            !unmatched.iter().any(|path| matcher.matches(path)),
            "{line}"
        );
    }
}

#[test]
fn a_line_feed_is_a_character_as_others() {
    let matches = |pattern: &str, path: &str| patterns(&[pattern]).matcher().matches(path);
    assert!(matches("*.c", "two\nlines.c") && matches("**c", "a\n/b\nc"));
    assert!(!matches("*.c", "a.c\n"));
}

#[test]
fn a_pattern_that_is_none_says_what_is_wrong_and_where() {
    let long = "x".repeat(1001);
    let texts = [
        "", "!", "/src/**", "!./a", "../a", "docs/", "?", "!+a", "a/**?", "a*+", "a++", "src/[ab",
        "[]", "[!a]", "a[^b]", "[a-Z]", "[z-a]", "[x+-.]", "[a\\", "a\\", &long,
    ];
    let told: Vec<String> = texts
        .iter()
        .map(|text| text.parse::<Pattern>().unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r##"
    "" is not a pattern: it is empty
    "!" is not a pattern: it is empty
    "/src/**" is not a pattern: it begins with /, and paths are told from the repository's root without that
    "!./a" is not a pattern: it begins with ./, and paths are told from the repository's root without that
    "../a" is not a pattern: it begins with ../, and paths are told from the repository's root without that
    "docs/" is not a pattern: it ends with /, and only folders do; write ** after it for the files in one
    "?" is not a pattern: `?` at character 1 has no character before it that it could repeat
    "!+a" is not a pattern: `+` at character 2 has no character before it that it could repeat
    "a/**?" is not a pattern: `?` at character 5 has no character before it that it could repeat
    "a*+" is not a pattern: `+` at character 3 has no character before it that it could repeat
    "a++" is not a pattern: `+` at character 3 has no character before it that it could repeat
    "src/[ab" is not a pattern: the `[` at character 5 has no `]`
    "[]" is not a pattern: the `[]` at character 1 holds no character
    "[!a]" is not a pattern: a set cannot be negated, as at character 2; write \! for the character itself
    "a[^b]" is not a pattern: a set cannot be negated, as at character 3; write \^ for the character itself
    "[a-Z]" is not a pattern: the range at character 2 is none of a-z, A-Z and 0-9 or a part of them
    "[z-a]" is not a pattern: the range at character 2 is none of a-z, A-Z and 0-9 or a part of them
    "[x+-.]" is not a pattern: the range at character 3 is none of a-z, A-Z and 0-9 or a part of them
    "[a\\" is not a pattern: the `[` at character 1 has no `]`
    "a\\" is not a pattern: the `\` at character 2 has nothing after it
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"… is not a pattern: it is longer than 1000 bytes
    "##);
}

#[test]
fn a_list_needs_something_to_match() {
    let list = |texts: &[&str]| {
        let list: Vec<Pattern> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Patterns::try_from(list)
    };
    assert_eq!(list(&[]), Err(PatternsError::Empty));
    assert_eq!(list(&["!a", "!b"]), Err(PatternsError::OnlyNegated));
    assert_eq!(list(&["a"; 101]), Err(PatternsError::TooMany));
    assert!(list(&["!a", "b"]).is_ok() && list(&["a"; 100]).is_ok());
}

#[test]
fn one_file_is_enough_for_paths_and_only_all_of_them_for_paths_ignore() {
    let paths = PathFilter::Paths(patterns(&["src/**"]));
    let ignore = PathFilter::PathsIgnore(patterns(&["docs/**"]));
    let build = |why: &str| Decision::Build(why.to_owned());
    let skip = |why: &str| Decision::Skip(why.to_owned());
    let both = files(&["docs/a", "src/b", "c"]);
    assert_eq!(paths.decide(&both), build("\"src/b\" matches `paths`"));
    assert_eq!(
        ignore.decide(&both),
        build("\"src/b\" does not match `paths_ignore`")
    );
    let only_docs = files(&["docs/a", "docs/b"]);
    assert_eq!(
        paths.decide(&only_docs),
        skip("no changed file matches `paths` (2 files changed)")
    );
    assert_eq!(
        ignore.decide(&only_docs[..1]),
        skip("every changed file matches `paths_ignore` (1 file changed)")
    );
    for filter in [paths, ignore] {
        assert_eq!(filter.decide(&[]), build("the push changes no file"));
    }
}

#[test]
fn a_hostile_name_of_a_file_makes_one_short_line() {
    let paths = PathFilter::Paths(patterns(&["**"]));
    let name = format!("a\n\u{1b}[2J{}", "é".repeat(4000));
    let Decision::Build(why) = paths.decide(&[name]) else {
        panic!("it matches");
    };
    assert!(
        why.len() < 400 && !why.chars().any(char::is_control),
        "{why}"
    );
}

#[test]
fn a_filter_is_stored_as_the_lists_that_people_write() {
    let filter = PathFilter::PathsIgnore(patterns(&["docs/**", "!docs/*.rs"]));
    let json = serde_json::to_string(&filter).unwrap();
    assert_eq!(json, r#"{"paths_ignore":["docs/**","!docs/*.rs"]}"#);
    assert_eq!(serde_json::from_str::<PathFilter>(&json).unwrap(), filter);
    assert!(serde_json::from_str::<PathFilter>(r#"{"paths":["[a"]}"#).is_err());
}

#[test]
fn the_worst_patterns_are_made_ready_and_matched_in_time() {
    let worst = [
        "*a".repeat(500),
        "**a".repeat(333),
        "**/".repeat(333) + "a",
        "[a-zA-Z0-9]+".repeat(83),
        "a?".repeat(500),
        format!("[{}]", "é".repeat(499)),
        "é+".repeat(333),
    ];
    let path = "a/".repeat(2000);
    let started = Instant::now();
    for text in worst {
        let list = patterns(&[&text]);
        list.matcher().matches(&path);
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

const PARTS: &[&str] = &["a", "b", "/", "*", "**", "**/", "a?", "b+", "/+"];

/// The documented meaning of `*`, `**`, `?` and `+`, by trying everything.
fn matches_by_trying(pattern: &[char], path: &[char], begins_part: bool) -> bool {
    let any_end = |rest: &[char], end: usize| {
        (0..=end).any(|end| matches_by_trying(rest, &path[end..], false))
    };
    match pattern {
        [] => path.is_empty(),
        ['*', '*', '*', ..] => matches_by_trying(&pattern[1..], path, begins_part),
        ['*', '*', '/', rest @ ..] if begins_part => {
            let after_slash = (0..path.len()).filter(|index| path[*index] == '/');
            matches_by_trying(rest, path, true)
                || after_slash
                    .into_iter()
                    .any(|index| matches_by_trying(rest, &path[index + 1..], true))
        }
        ['*', '*', rest @ ..] => any_end(rest, path.len()),
        ['*', rest @ ..] => any_end(rest, path.iter().take_while(|next| **next != '/').count()),
        [literal, mark @ ('?' | '+'), rest @ ..] => {
            let count = path.iter().take_while(|next| *next == literal).count();
            let counts = if *mark == '?' {
                0..=count.min(1)
            } else {
                1..=count
            };
            counts
                .into_iter()
                .any(|count| matches_by_trying(rest, &path[count..], false))
        }
        [literal, rest @ ..] => {
            path.first() == Some(literal) && matches_by_trying(rest, &path[1..], *literal == '/')
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_text_panics(text in "\\PC{0,40}", dense in "[]a-c0-9!^*?+\\[\\\\/-]{0,20}") {
        for text in [text, dense] {
            if let Ok(pattern) = text.parse::<Pattern>() {
                pattern.regex().is_match(&text);
            }
        }
    }

    #[test]
    fn patterns_match_as_by_trying(
        parts in prop::collection::vec(prop::sample::select(PARTS), 1..6),
        path in "[ab/]{0,6}",
    ) {
        let pattern = parts.concat();
        if let Ok(parsed) = pattern.parse::<Pattern>() {
            let characters: Vec<char> = pattern.chars().collect();
            let path_characters: Vec<char> = path.chars().collect();
            prop_assert_eq!(
                parsed.regex().is_match(&path),
                matches_by_trying(&characters, &path_characters, true),
                "{:?} {:?}", pattern, path
            );
        }
    }
}
