//! What spans several keys of the service file: keys that exclude or need each other.

use super::document::Node;
use super::finding::{Finding, Place};
use super::service::{Configuration, ServiceConfig};
use crate::domain::app_key::AppKey;
use crate::domain::mask;
use crate::domain::tracking::ConfigurationBranch;

/// Checks a whole configuration against the tree that it was read from.
pub fn check(config: &ServiceConfig, root: &Node) -> Vec<Finding> {
    let mut report = Report {
        root,
        findings: Vec::new(),
    };
    check_configuration(root, &mut report);
    check_github(config, &mut report);
    check_docker(config, &mut report);
    check_images(config, &mut report);
    check_builds(config, &mut report);
    check_redis(config, &mut report);
    check_kernels(config, &mut report);
    report.findings
}

struct Report<'a> {
    root: &'a Node,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn error(&mut self, keys: &[&str], message: impl Into<String>, hint: &str) {
        let finding = Finding::error(place_of(self.root, keys), message);
        self.findings.push(finding.key(keys.join(".")).hint(hint));
    }

    fn warning(&mut self, keys: &[&str], message: impl Into<String>, hint: &str) {
        let finding = Finding::warning(place_of(self.root, keys), message);
        self.findings.push(finding.key(keys.join(".")).hint(hint));
    }
}

/// Where a key stands or, if it is not there, the section that it would be in. A secret's key may
/// have `_file` after it.
fn place_of(node: &Node, keys: &[&str]) -> Place {
    let mut place = Place::FILE;
    let mut node = node;
    for key in keys {
        let Some(entry) = node
            .entry(key)
            .or_else(|| node.entry(&format!("{key}_file")))
        else {
            break;
        };
        place = entry.key_place;
        node = &entry.value;
    }
    place
}

fn check_configuration(root: &Node, report: &mut Report) {
    // Half a default would be worse than none: a service that builds the examples by mistake.
    let is_given = root
        .entry("configuration")
        .is_some_and(|entry| !entry.value.is_null());
    if !is_given {
        report.error(
            &["configuration"],
            "neither `path` nor `repository` is given",
            "say where the build configuration is: a local directory (`path`), or a repository on \
             GitHub (`repository` and `branch`)",
        );
    }
}

fn check_github(config: &ServiceConfig, report: &mut Report) {
    let github = &config.github;
    if github.token.is_some() && github.app.is_some() {
        report.error(
            &["github", "app"],
            "both `token` and `app` are given",
            "statuses and webhooks are made either by a user's token or by an App",
        );
    }
    // Without the value: it is a key, or what was taken for one.
    if let Some(app) = &github.app
        && let Err(error) = AppKey::from_pem(app.private_key.expose())
    {
        report.error(
            &["github", "app", "private_key"],
            error.to_string(),
            "give the file that GitHub made when a private key was generated for the App; it \
             begins with -----BEGIN RSA PRIVATE KEY-----",
        );
    }
    let is_public = !config.public_url.is_loopback();
    if github.webhook_secret.is_none() && (is_public || !config.listen.ip().is_loopback()) {
        report.warning(
            &["github", "webhook_secret"],
            "no secret is given: whoever reaches the service can start builds",
            "give a long random text; the service puts it into the webhooks that it sets, others need it by hand",
        );
    }
    let has_credential = github.token.is_some() || github.app.is_some();
    if !has_credential && is_public {
        report.warning(
            &["github"],
            "no credential is given: statuses are not sent, webhooks are not set, and private repositories are \
             not fetched",
            "give `token_file`, or `app` with `id` and `private_key_file`",
        );
    }
    if has_credential && github.manage_webhooks && config.is_out_of_reach() {
        report.warning(
            &["public_url"],
            "GitHub cannot reach this address: no webhooks are set, and pushes are found every \
             github.reconcile_every",
            "give the address that GitHub sees, or set github.manage_webhooks: false",
        );
    }
}

fn check_docker(config: &ServiceConfig, report: &mut Report) {
    let host = config.docker.host.as_deref();
    let is_tls = host.is_some_and(|host| host.starts_with("https://"));
    if is_tls && config.docker.certificates.is_none() {
        report.error(
            &["docker", "certificates"],
            "a host of https:// needs certificates",
            "give the folder that holds ca.pem, cert.pem and key.pem",
        );
    }
    if host.is_some() && !is_tls && config.docker.certificates.is_some() {
        report.warning(
            &["docker", "certificates"],
            "only a host of https:// uses certificates",
            "write https:// in docker.host, or leave the certificates out",
        );
    }
    let shared = match config.docker.network.as_deref() {
        Some("host") => {
            "builds reach all that listens on the Docker host, on 127.0.0.1 too, and each other"
        }
        Some("bridge") => {
            "builds reach each other, and every other container on Docker's own network"
        }
        _ => return,
    };
    report.warning(
        &["docker", "network"],
        shared,
        "leave it out: a network is made on which builds cannot reach each other",
    );
}

/// The images that the service file itself names.
fn check_images(config: &ServiceConfig, report: &mut Report) {
    let mut check = |keys: &[&str], image: &str| {
        if !config.docker.images.allows(image) {
            report.error(
                keys,
                format!("docker.images does not allow {image}"),
                "add it there, or name another image",
            );
        }
    };
    check(&["docker", "default_image"], &config.docker.default_image);
    for (name, kernel) in &config.kernels.repositories {
        if let Some(image) = &kernel.baseimage {
            check(
                &["kernels", "repositories", name.as_str(), "baseimage"],
                image,
            );
        }
    }
}

fn check_builds(config: &ServiceConfig, report: &mut Report) {
    for (name, secret) in config.builds.secrets.iter() {
        if config.builds.environment.contains_key(name) {
            report.error(
                &["builds", "secrets", name],
                "also stands in builds.environment",
                "a variable has one value: remove one of the two",
            );
        }
        if let Some(why) = mask::common(secret.expose()) {
            report.warning(
                &["builds", "secrets", name],
                format!("is {why} and will not be masked"),
                "such a text stands in any log by chance",
            );
        }
    }
}

/// The forms that fred takes: plain, TLS, Sentinel, cluster.
const REDIS_SCHEMES: [&str; 6] = [
    "redis",
    "rediss",
    "redis-sentinel",
    "rediss-sentinel",
    "redis-cluster",
    "rediss-cluster",
];

fn check_redis(config: &ServiceConfig, report: &mut Report) {
    let Some(redis) = &config.redis else { return };
    let url = url::Url::parse(redis.url.expose());
    let is_redis = url.is_ok_and(|url| REDIS_SCHEMES.contains(&url.scheme()) && url.has_host());
    if !is_redis {
        // Without the value, which may hold a password.
        report.error(
            &["redis", "url"],
            "this is not an address of Redis",
            "write redis://host:port, rediss:// for TLS, redis-sentinel:// or redis-cluster://",
        );
    }
}

fn check_kernels(config: &ServiceConfig, report: &mut Report) {
    let repositories = &config.kernels.repositories;
    for (name, kernel) in repositories {
        let keys = ["kernels", "repositories", name.as_str()];
        let key = |last| [keys[0], keys[1], keys[2], last];
        let Some(base) = &kernel.base else { continue };
        if kernel.baseimage.is_some() {
            report.error(
                &key("baseimage"),
                "both `base` and `baseimage` are given",
                "a kernel starts either from an image or from what another repository built",
            );
        }
        if kernel.commit {
            report.error(
                &key("commit"),
                "an incremental kernel (one with `base`) is not committed",
                "only images of base kernels are built upon",
            );
        }
        match repositories.get(base) {
            Some(found) if found.base.is_none() && found.commit => {}
            Some(_) => report.error(
                &key("base"),
                format!("{base} makes no image to build upon"),
                "set commit: true there, and no base",
            ),
            None => report.error(
                &key("base"),
                format!("{base} is not among kernels.repositories"),
                "add it there with commit: true",
            ),
        }
    }
    if let Configuration::Repository(ConfigurationBranch { repository, .. }) = &config.configuration
        && repositories.contains_key(repository)
    {
        report.error(
            &["configuration", "repository"],
            format!("{repository} is also among kernels.repositories"),
            "the configuration's repository is read, never built",
        );
    }
}
