//! The few filters that all rooms build their routes from.

use std::fmt::Display;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use warp::http::Method;
use warp::{Filter, Rejection};

use super::Web;
use super::failure::{Failure, WrongMethod};

pub fn given(
    web: &Arc<Web>,
) -> impl Filter<Extract = (Arc<Web>,), Error = std::convert::Infallible> + Clone + use<> {
    let web = Arc::clone(web);
    warp::any().map(move || Arc::clone(&web))
}

/// GET, and HEAD: hyper leaves the body of its answer out.
pub fn reading(
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    method(&[Method::GET, Method::HEAD], allowed)
}

pub fn posting(
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    method(&[Method::POST], allowed)
}

pub fn deleting(
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    method(&[Method::DELETE], allowed)
}

fn method(
    taken: &'static [Method],
    allowed: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    warp::method()
        .and_then(move |method: Method| async move {
            match taken.contains(&method) {
                true => Ok(()),
                false => Err(warp::reject::custom(WrongMethod { allowed })),
            }
        })
        .untuple_one()
}

/// The query as it stands; parsed by [`parse_query`], which can say what is wrong with it.
pub fn query() -> impl Filter<Extract = (String,), Error = std::convert::Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

pub fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Failure> {
    serde_urlencoded::from_str(query).map_err(|error| {
        Failure::bad_request(
            format!("the query cannot be read: {error}"),
            "the parameters are described in docs/http.md and at /api/v1/openapi.json",
        )
    })
}

/// A parameter that says how many are wanted: at least one.
pub fn checked_count<T: Copy + PartialOrd + From<u8> + Display>(
    name: &str,
    count: Option<T>,
    default: T,
    most: T,
) -> Result<T, Failure> {
    let count = count.unwrap_or(default);
    match (T::from(1)..=most).contains(&count) {
        true => Ok(count),
        false => Err(Failure::bad_request(
            format!("{name} is {count}"),
            format!("it may be 1 to {most}"),
        )),
    }
}

/// The rest of the path, percent-decoded; slashes and all.
pub fn decoded(text: &str) -> Result<String, Failure> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| {
        Failure::bad_request(
            "the path is not UTF-8",
            "encode each byte that is not ASCII as %XX",
        )
    })?;
    Ok(text.into_owned())
}
