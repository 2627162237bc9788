//! How this service speaks HTTP to servers that an operator names.

use std::error::Error;
use std::time::Duration;

/// A client that trusts what the machine trusts, as an own server may have an own authority, and
/// uses the proxies of the environment. It follows no redirect, because a credential is for one
/// server alone; it tries nothing again, because who asks knows better when.
pub fn client(connect_timeout: Duration) -> Result<reqwest::Client, String> {
    // Done by main already; a client without any would panic, also for a plain http://.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("autobuilder/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_idle_timeout(Duration::from_secs(60))
        .build()
        .map_err(|error| root_cause(&error))
}

/// Why in the end: what lies above speaks of requests and services.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
