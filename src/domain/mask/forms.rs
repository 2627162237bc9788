//! What a secret looks like where tools print it: as it is, line by line, and in the encodings that
//! headers, addresses and JSON bring about.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Each form of a secret, shortest ones and repeated ones included.
pub fn of(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned()];
    forms.extend(lines(value));
    forms.extend(base64(value.as_bytes()));
    forms.extend(percent_encoded(value));
    forms.extend(json(value));
    // As our own sentences quote a name.
    forms.push(value.escape_debug().to_string());
    forms
}

/// Tools print keys line by line, indented as they like. The lines around a key are the same for
/// every key, and no secret.
fn lines(value: &str) -> impl Iterator<Item = String> {
    let lines = value.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with("-----BEGIN ") && !line.starts_with("-----END "))
        .map(str::to_owned)
}

/// Base64 turns three bytes into four characters, so a secret within a longer text, as in `user:secret`
/// of a header, has one of three forms. Each is what depends on the secret alone.
fn base64(value: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        let own = (8 * before).div_ceil(6)..8 * bytes.len() / 6;
        for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.push(alphabet.encode(&bytes)[own.clone()].to_owned());
        }
    }
    // Where it was encoded alone, in lines as `base64` (76) and `openssl base64` (64) make them.
    let alone = forms[0].clone();
    for width in [64, 76] {
        if alone.len() > width {
            let lines = alone.as_bytes().chunks(width);
            forms.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
        }
    }
    forms
}

/// What RFC 3986 leaves alone everywhere.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Encoders differ in what they leave alone: everything but letters and digits, a path's slashes, what
/// JavaScript's `encodeURIComponent` and `encodeURI` do, and HTML's forms.
const ENCODERS: [AsciiSet; 5] = [
    UNRESERVED,
    UNRESERVED.remove(b'/'),
    COMPONENT,
    COMPONENT
        .remove(b';')
        .remove(b',')
        .remove(b'/')
        .remove(b'?')
        .remove(b':')
        .remove(b'@')
        .remove(b'&')
        .remove(b'=')
        .remove(b'+')
        .remove(b'$')
        .remove(b'#'),
    NON_ALPHANUMERIC
        .remove(b'*')
        .remove(b'-')
        .remove(b'.')
        .remove(b'_'),
];

const COMPONENT: AsciiSet = UNRESERVED
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

fn percent_encoded(value: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for encoder in &ENCODERS {
        let upper: Vec<&str> = utf8_percent_encode(value, encoder).collect();
        let lower = upper.iter().map(|piece| match piece.starts_with('%') {
            true => piece.to_ascii_lowercase(),
            false => (*piece).to_owned(),
        });
        for form in [upper.concat(), lower.collect()] {
            forms.push(form.replace("%20", "+"));
            forms.push(form);
        }
    }
    forms
}

/// Within a string of JSON; also as Go writes it, which escapes what HTML would take for a tag.
fn json(value: &str) -> [String; 2] {
    let quoted = serde_json::Value::from(value).to_string();
    let plain = quoted[1..quoted.len() - 1].to_owned();
    let for_html = plain
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    [plain, for_html]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_known_wherever_in_a_text_the_secret_stands() {
        let secret = "hunter2!?>";
        let forms = base64(secret.as_bytes());
        for before in ["", "u", "us", "usr", "user:"] {
            for after in ["", "\n", "x", "@host"] {
                let text = format!("{before}{secret}{after}");
                for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    let form = forms.iter().find(|form| encoded.contains(*form));
                    // All of it but a character at each end, which it shares with its neighbours.
                    let form = form.unwrap_or_else(|| panic!("{text}: {encoded}"));
                    assert!(form.len() >= 8 * secret.len() / 6 - 1, "{text}: {form}");
                }
            }
        }
    }

    #[test]
    fn long_base64_is_known_in_lines() {
        let key = (0..100u8).map(|byte| char::from(b'!' + byte % 90));
        let key: String = key.collect();
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{key}\n"));
        for width in [64, 76] {
            let lines: Vec<_> = encoded.as_bytes().chunks(width).collect();
            let known = base64(key.as_bytes());
            let known = |line: &str| known.iter().any(|form| line.starts_with(form));
            for line in lines {
                let line = std::str::from_utf8(line).unwrap();
                assert!(known(line), "{width}: {line}");
            }
        }
    }

    #[test]
    fn addresses_and_json_are_known_as_each_encoder_writes_them() {
        let forms = of("a/b+c d~é\"<'");
        for form in [
            "a/b+c d~é\"<'",
            "a%2Fb%2Bc%20d~%C3%A9%22%3C%27",
            "a%2fb%2bc%20d~%c3%a9%22%3c%27",
            "a/b%2Bc%20d~%C3%A9%22%3C%27",
            "a%2Fb%2Bc%20d~%C3%A9%22%3C'",
            "a/b+c%20d~%C3%A9%22%3C'",
            "a%2Fb%2Bc+d%7E%C3%A9%22%3C%27",
            "a/b+c d~é\\\"<'",
            "a/b+c d~é\\\"\\u003c'",
            "a/b+c d~é\\\"<\\'",
        ] {
            assert!(forms.iter().any(|known| known == form), "{form}: {forms:?}");
        }
    }

    #[test]
    fn the_lines_of_a_key_are_known_and_those_around_it_are_no_secret() {
        let key = "-----BEGIN PRIVATE KEY-----\r\n  abcdefgh\nxy\n-----END PRIVATE KEY-----";
        assert_eq!(lines(key).collect::<Vec<_>>(), ["abcdefgh", "xy"]);
    }
}
