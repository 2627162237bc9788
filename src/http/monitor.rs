//! The monitor's files, embedded in the binary.
//!
//! Files under `assets/` have a hash of their content in their name and are kept by browsers for
//! ever; everything else is asked for again each time. Any other address below `/monitor` is one
//! of the page's own, and gets the page.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use rust_embed::RustEmbed;
use warp::filters::BoxedFilter;
use warp::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, VARY};
use warp::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use warp::{Filter, Reply};

use super::answer::{self, Answer, Response, respond};
use super::failure::Failure;
use super::filters;

const READING: &str = "GET, HEAD";

/// Built by `npm run build` in `web/`; without it the service works all the same.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

const NOT_BUILT: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>autobuilder</title>
<h1>The monitor is not in this binary</h1>
<p>It was compiled before the monitor's files were built. In the source folder, run
<pre>cd web &amp;&amp; npm ci &amp;&amp; npm run build
cd .. &amp;&amp; cargo build --release</pre>
<p>and start the new binary. Meanwhile everything else works:
<a href=\"/build/status\">what runs now</a>, <a href=\"/api/v1/builds\">all builds</a>,
<a href=\"/api/v1/openapi.json\">the API</a>.
";

pub fn routes() -> BoxedFilter<(Response,)> {
    let root = warp::path::end()
        .and(filters::reading(READING))
        .map(|| warp::redirect::found(Uri::from_static("/monitor")).into_response());
    let files = warp::path("monitor")
        .and(warp::path::tail())
        .and(filters::reading(READING))
        .and(warp::header::headers_cloned())
        .map(|tail: warp::path::Tail, headers| respond(file(tail.as_str(), &headers)));
    root.or(files).unify().boxed()
}

fn file(path: &str, headers: &HeaderMap) -> Answer {
    let path = filters::decoded(path)?;
    if let Some(file) = Files::get(&path) {
        return Ok(embedded(&path, file, headers));
    }
    if path.starts_with("assets/") {
        return Err(Failure::not_found(
            "there is no such file in this release of the monitor",
            "reload the page",
        ));
    }
    match Files::get("index.html") {
        Some(page) => Ok(embedded("index.html", page, headers)),
        None => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            Ok(answer::with_type(html, NOT_BUILT))
        }
    }
}

fn embedded(path: &str, file: rust_embed::EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let packs = is_text(path) && takes_gzip(headers);
    // Two forms of one file are two representations, with a tag each.
    let suffix = if packs { "-gzip" } else { "" };
    let etag: Option<ETag> = format!("\"{}{suffix}\"", hex::encode(hash)).parse().ok();
    let is_known = match (headers.typed_get::<IfNoneMatch>(), &etag) {
        (Some(known), Some(etag)) => !known.precondition_passes(etag),
        _ => false,
    };
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if packs {
        let mut response = answer::with_type(content_type(path), packed(hash, &file.data));
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
        response
    } else {
        answer::with_type(content_type(path), file.data.into_owned())
    };
    let headers = response.headers_mut();
    let lasting = match path.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(lasting));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(etag) = etag {
        headers.typed_insert(etag);
    }
    response
}

/// Compressed forms, made when first asked for. There are a handful of files.
static PACKED: LazyLock<Mutex<HashMap<[u8; 32], Bytes>>> = LazyLock::new(Mutex::default);

fn packed(hash: [u8; 32], data: &[u8]) -> Bytes {
    let mut packed = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = packed.entry(hash).or_insert_with(|| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        let packed = packer.write_all(data).and_then(|()| packer.finish());
        packed.expect("memory takes every byte").into()
    });
    bytes.clone()
}

/// Every browser takes gzip, and says so without a weight; whoever weighs gets the plain form.
fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim() == "gzip")
}

const TYPES: [(&str, &str); 12] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("txt", "text/plain; charset=utf-8"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("wasm", "application/wasm"),
];

fn content_type(path: &str) -> HeaderValue {
    let extension = path.rsplit('.').next().unwrap_or("");
    let known = TYPES.iter().find(|(known, _)| *known == extension);
    HeaderValue::from_static(known.map_or("application/octet-stream", |(_, name)| name))
}

fn is_text(path: &str) -> bool {
    ["html", "js", "css", "svg", "json", "map", "txt"]
        .iter()
        .any(|extension| path.rsplit('.').next() == Some(extension))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_file_comes_out_of_its_compressed_form_as_it_was() {
        let text = b"one line and another\n".repeat(100);
        let small = packed([7; 32], &text);
        assert!(small.len() < text.len() / 10);
        let mut back = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&small[..]);
        reader.read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
        assert_eq!(packed([7; 32], &text), small);
    }

    #[test]
    fn only_who_says_so_without_a_weight_gets_gzip() {
        for (accepts, taken) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, gzip", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepts));
            assert_eq!(takes_gzip(&headers), taken, "{accepts}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
