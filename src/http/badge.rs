//! `GET /badge/<owner>/<name>/<branch>.svg`: how a branch stands, for a README.

use std::collections::HashSet;
use std::sync::Arc;

use headers::{ETag, HeaderMapExt, IfNoneMatch};
use sha2::{Digest, Sha256};
use warp::filters::BoxedFilter;
use warp::http::header::CACHE_CONTROL;
use warp::http::{HeaderMap, HeaderValue, StatusCode};
use warp::{Filter, Reply};

use super::answer::{self, Answer, Response, respond};
use super::failure::{ErrorView, Failure};
use super::legacy::{ChoiceQuery, builds_of_branch};
use super::{Web, filters};
use crate::domain::build::{Build, State};

/// A push has a build for each script; more of them than this do not change the picture.
const BUILDS_OF_A_PUSH: usize = 50;

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("badge" / String / String / ..)
        .and(warp::path::tail())
        .and(filters::reading("GET, HEAD"))
        .and(filters::given(web))
        .and(filters::query())
        .and(warp::header::headers_cloned())
        .then(
            |owner: String,
             name: String,
             branch: warp::path::Tail,
             web: Arc<Web>,
             query: String,
             headers: HeaderMap| async move {
                let branch = branch.as_str();
                respond(badge(&web, [&owner, &name, branch], &query, &headers).await)
            },
        )
        .boxed()
}

/// How a branch stands: its newest push, all of that push's scripts together.
#[utoipa::path(
    get,
    path = "/badge/{owner}/{name}/{branch}.svg",
    tag = "badges",
    params(
        ("owner" = String, Path),
        ("name" = String, Path),
        ("branch" = String, Path, description = "may contain slashes"),
        ChoiceQuery,
    ),
    responses(
        (status = 200, description = "the badge; `unknown` where nothing was built", body = String, content_type = "image/svg+xml"),
        (status = 304, description = "the client has it already"),
        (status = 400, description = "a parameter is wrong", body = ErrorView),
        (status = 404, description = "the address does not end in .svg or holds no names", body = ErrorView),
    )
)]
async fn badge(web: &Web, path: [&str; 3], query: &str, headers: &HeaderMap) -> Answer {
    let [owner, name, file] = path;
    let Some(branch) = file.strip_suffix(".svg") else {
        return Err(Failure::not_found(
            "there is no such badge",
            "the address of a badge is /badge/<owner>/<name>/<branch>.svg",
        ));
    };
    let builds = builds_of_branch(web, [owner, name, branch], query, BUILDS_OF_A_PUSH).await?;
    let svg = draw(Standing::of(&builds));
    let digest = hex::encode(&Sha256::digest(svg.as_bytes())[..16]);
    let etag: Option<ETag> = format!("\"{digest}\"").parse().ok();
    let is_known = match (headers.typed_get::<IfNoneMatch>(), &etag) {
        (Some(known), Some(etag)) => !known.precondition_passes(etag),
        _ => false,
    };
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => answer::with_type(HeaderValue::from_static("image/svg+xml"), svg),
    };
    let headers = response.headers_mut();
    // GitHub's image proxy keeps badges unless it is told to ask each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // A README is on another site.
    headers.insert(
        answer::RESOURCE_POLICY,
        HeaderValue::from_static("cross-origin"),
    );
    if let Some(etag) = etag {
        headers.typed_insert(etag);
    }
    Ok(response)
}

/// What a badge can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Passing,
    Failing,
    /// Neither the code's fault nor its merit.
    Errored,
    Building,
    Unknown,
}

impl Standing {
    /// Of a branch's builds: the scripts of the newest push count, the worst of them speaks. One
    /// that was skipped stands as it stood before: the push has not repaired it.
    fn of(builds: &[Build]) -> Self {
        let Some(newest) = builds.iter().map(|build| build.push).max() else {
            return Self::Unknown;
        };
        let script_of = |build: &Build| (build.script().to_owned(), build.tag().cloned());
        let of_newest = builds.iter().filter(|build| build.push == newest);
        let scripts: HashSet<_> = of_newest.map(script_of).collect();
        let last_built = |script: &_| {
            // A rebuild belongs to the push of the build it repeats, and takes its place.
            let built = builds
                .iter()
                .filter(|build| script_of(build) == *script && build.state != State::Skipped)
                .max_by_key(|build| (build.push, build.sequence));
            built.map(|build| build.state)
        };
        let states: Vec<State> = scripts.iter().filter_map(last_built).collect();
        let any = |wanted: &[State]| states.iter().any(|state| wanted.contains(state));
        if any(&[State::Failed, State::TimedOut]) {
            Self::Failing
        } else if any(&[State::Errored, State::Cancelled, State::Superseded]) {
            Self::Errored
        } else if states.iter().all(|state| state.is_end()) {
            Self::Passing
        } else {
            Self::Building
        }
    }

    /// Word and colour; white on each colour has a contrast of at least 4.5.
    fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Passing => ("passing", "#1a7f37"),
            Self::Failing => ("failing", "#cf222e"),
            Self::Errored => ("error", "#9a5b00"),
            Self::Building => ("building", "#0969da"),
            Self::Unknown => ("unknown", "#59636e"),
        }
    }
}

const LABEL: &str = "build";

/// Verdana, in which badges are set, is about this wide a letter at 11 px. `textLength` makes
/// the text fit where another font is used.
const LETTER: usize = 7;
const MARGIN: usize = 6;

fn draw(standing: Standing) -> String {
    let (word, colour) = standing.shown();
    let text_width = |text: &str| text.len() * LETTER;
    let (left, right) = (
        text_width(LABEL) + 2 * MARGIN,
        text_width(word) + 2 * MARGIN,
    );
    let width = left + right;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"20\" role=\"img\" \
         aria-label=\"{LABEL}: {word}\"><title>{LABEL}: {word}</title>\
         <clipPath id=\"r\"><rect width=\"{width}\" height=\"20\" rx=\"3\"/></clipPath>\
         <g clip-path=\"url(#r)\"><rect width=\"{left}\" height=\"20\" fill=\"#444c56\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{colour}\"/></g>\
         <g fill=\"#fff\" font-family=\"Verdana,Geneva,DejaVu Sans,sans-serif\" font-size=\"11\">\
         <text x=\"{MARGIN}\" y=\"14\" textLength=\"{}\">{LABEL}</text>\
         <text x=\"{}\" y=\"14\" textLength=\"{}\">{word}</text></g></svg>\n",
        text_width(LABEL),
        left + MARGIN,
        text_width(word),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_the_word_to_eyes_and_ears() {
        insta::assert_snapshot!(draw(Standing::Passing), @r##"<svg xmlns="http://www.w3.org/2000/svg" width="108" height="20" role="img" aria-label="build: passing"><title>build: passing</title><clipPath id="r"><rect width="108" height="20" rx="3"/></clipPath><g clip-path="url(#r)"><rect width="47" height="20" fill="#444c56"/><rect x="47" width="61" height="20" fill="#1a7f37"/></g><g fill="#fff" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11"><text x="6" y="14" textLength="35">build</text><text x="53" y="14" textLength="49">passing</text></g></svg>"##);
    }
}
