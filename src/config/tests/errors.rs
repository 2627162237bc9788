//! What an operator is told about a service file.

use std::path::Path;

use insta::assert_snapshot;

use super::super::{ClientConfig, ServiceConfig, check};
use super::{nothing, read, told};
use crate::domain::token::TokenHash;

/// The part of a file that is not about the error in question.
const SOURCE: &str = "configuration: {path: .}\n";

#[test]
fn every_error_is_told_at_once() {
    let text = "\
listen: 127.0.0.1
configuraton: {path: .}
configuration:
  path: ./here
  repository: owner/name
github:
  token: ${GITHUB_TOKEN}
  first_sight: biuld
docker:
  memory: 1MiB
  pul: always
  cap_add: [SYS_ADMIN, sys admin]
builds:
  concurrency: 0
  timeout: 45
  environment: {1X: y, AUTOBUILDER_X: y}
hub:
  username: me
";
    assert_snapshot!(told(text), @r#"
    config.yaml:1:9: error: listen: found "127.0.0.1"; expected an address and a port, such as 127.0.0.1:5560 or [::]:5560
     1 | listen: 127.0.0.1
       |         ^^^^^^^^^
    config.yaml:2:1: error: configuraton: `configuraton` is not a known key
     2 | configuraton:
       | ^^^^^^^^^^^^
       hint: did you mean `configuration`?
    config.yaml:3:1: error: configuration: found both `path` and `repository`; expected one of them
     3 | configuration:
       | ^^^^^^^^^^^^^
    config.yaml:7:10: error: github.token: the environment variable GITHUB_TOKEN is not set
     7 |   token: ${GITHUB_TOKEN}
       |          ^^^^^^^^^^^^^^^
       hint: set GITHUB_TOKEN where the service is started, or write $${ for a literal ${
    config.yaml:8:16: error: github.first_sight: found "biuld"; expected build | record
     8 |   first_sight: biuld
       |                ^^^^^
       hint: did you mean `build`?
    config.yaml:10:11: error: docker.memory: found "1MiB"; expected at least 6MiB, the least that Docker takes
     10 |   memory: 1MiB
        |           ^^^^
    config.yaml:11:3: error: docker.pul: `pul` is not a known key
     11 |   pul:
        |   ^^^
       hint: did you mean `pull`?
    config.yaml:12:24: error: docker.cap_add.2: found "sys admin"; expected a capability such as SYS_ADMIN
     12 | … sys admin
        |   ^^^^^^^^^
    config.yaml:14:16: error: builds.concurrency: found 0; expected a whole number from 1 on
     14 |   concurrency: 0
        |                ^
    config.yaml:15:12: error: builds.timeout: found "45"; expected a duration with its unit, such as 45m, 1h30m or 90d
     15 |   timeout: 45
        |            ^^
    config.yaml:16:17: error: builds.environment.1X: found `1X`; expected a variable's name (letters, digits and _, not beginning with a digit)
     16 | … 1X
        |   ^^
    config.yaml:16:24: error: builds.environment.AUTOBUILDER_X: `AUTOBUILDER_X`: the variables AUTOBUILDER… are set by the service
     16 | … AUTOBUILDER_X
        |   ^^^^^^^^^^^^^
    config.yaml:17:1: error: hub: the key `token` is missing
     17 | hub:
        | ^^^
    "#);
}

/// What is said about one line in a file that is fine otherwise.
fn about(line: &str) -> String {
    match read(&format!("{SOURCE}{line}\n")) {
        Ok(_) => "fine".to_owned(),
        Err(findings) => {
            let finding = findings.iter().next().unwrap();
            let expected = finding.expected.as_deref().unwrap_or("-");
            format!("{}: {} | {expected}", finding.key, finding.message)
        }
    }
}

#[test]
fn each_kind_of_value_says_what_it_expects() {
    let lines = [
        "listen: 5560",
        "listen: '[::1]:80'",
        "public_url: example.org",
        "public_url: ftp://example.org",
        "public_url: https://me:secret@example.org",
        "public_url: https://example.org/?x",
        "data_directory: ''",
        "data_directory: ~/data",
        "data_directory: [a]",
        "trusted_proxies: 10.0.0.1",
        "trusted_proxies: [10.0.0.0/8, '::1']",
        "trusted_proxies: [10.0.0.0/33]",
        "shutdown_grace: 0s",
        "shutdown_grace: -1s",
        "shutdown_grace: 9999999999999999999999d",
        "api_token: ''",
        "api_token: {a: b}",
        "api_token: sha256:0123456789abcdef",
        "api_token: sha256:hunter2",
        "api_token: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "github: yes",
        "github: {manage_webhooks: yes}",
        "github: {manage_webhooks: 'true'}",
        "github: {reconcile_every: 1ms}",
        "github: {git_url: 'ssh://git@github.com'}",
        "github: {git_url: ./mirrors}",
        "github: {app: {id: x, private_key: y}}",
        "docker: {host: /var/run/docker.sock}",
        "docker: {host: 'unix:///var/run/docker.sock'}",
        "docker: {container_prefix: 'a/b'}",
        "docker: {default_image: 'a image'}",
        "docker: {images: ['docker.io/library/ubuntu:*', '**', 'r.io:5000/**', '!r.io:5000/old/*']}",
        "docker: {images: ['ubuntu:*', docker.io/library/ubuntu, 'ubuntu*', '[']}",
        "docker: {images: ['!docker.io/**']}",
        "docker: {default_image: debian, images: ['docker.io/library/ubuntu:*']}",
        "docker: {pull: allways}",
        "docker: {pull: [always]}",
        "docker: {registries: {'https://x': {username: a, password: b}}}",
        "docker: {registries: {x: {username: a}}}",
        "docker: {memory: 16}",
        "docker: {memory: lots}",
        "docker: {memory: 99EiB}",
        "docker: {cpus: 0}",
        "docker: {cpus: 1.5}",
        "docker: {cpus: .nan}",
        "docker: {pids: 1.5}",
        "docker: {pids: -1}",
        "docker: {extra_hosts: {hub: localhost}}",
        "docker: {extra_hosts: {hub: host-gateway}}",
        "builds: {supersede: maybe}",
        "builds: {supersede: false}",
        "builds: {max_log: 0}",
        "builds: {environment: {A: 1, B: true, C: 1.10}}",
        "builds: {environment: {A: [1]}}",
        "builds: {environment: {A: null}}",
        "builds: {secrets: [A]}",
        "retention: {builds: many}",
        "redis: {url: 'http://:hunter2@localhost'}",
        "redis: {}",
        "hub: {username: me, token: t, url: 'x'}",
        "kernels: {repositories: {a: {script: x}}}",
        "kernels: {repositories: {a/b: {script: ../x}}}",
        "kernels: {repositories: {a/b: {script: x, base: c/d}}}",
        "configuration: {path: x}",
        "x: &x {a: *x}",
        "listen: !rust y",
        "? [a]\n: b",
    ];
    let told: Vec<String> = lines
        .iter()
        .map(|line| format!("{line}\n    {}", about(line)))
        .collect();
    assert_snapshot!(told.join("\n"), @r#"
    listen: 5560
        listen: found "5560" | an address and a port, such as 127.0.0.1:5560 or [::]:5560
    listen: '[::1]:80'
        fine
    public_url: example.org
        public_url: found "example.org" | an address such as https://builds.example.org
    public_url: ftp://example.org
        public_url: found "ftp://example.org" | an address such as https://builds.example.org
    public_url: https://me:secret@example.org
        public_url: found an address with a user or password in it | one without: it is shown to others
    public_url: https://example.org/?x
        public_url: found "https://example.org/?x" | an address without ? and #
    data_directory: ''
        data_directory: found "" | a path
    data_directory: ~/data
        data_directory: found "~/data" | a path without ~, which only shells know
    data_directory: [a]
        data_directory: found a list | a text
    trusted_proxies: 10.0.0.1
        trusted_proxies: found the text "10.0.0.1" | a list
    trusted_proxies: [10.0.0.0/8, '::1']
        fine
    trusted_proxies: [10.0.0.0/33]
        trusted_proxies.1: found "10.0.0.0/33" | an address (10.0.0.1) or a network (10.0.0.0/8)
    shutdown_grace: 0s
        fine
    shutdown_grace: -1s
        shutdown_grace: found "-1s" | a duration with its unit, such as 45m, 1h30m or 90d
    shutdown_grace: 9999999999999999999999d
        shutdown_grace: found "9999999999999999999999d" | a duration with its unit, such as 45m, 1h30m or 90d
    api_token: ''
        api_token: the secret is empty | -
    api_token: {a: b}
        api_token: found a section | a text
    api_token: sha256:0123456789abcdef
        api_token: found 16 hexadecimal digits after `sha256:` | the 64 of a SHA-256
    api_token: sha256:hunter2
        api_token: found something else than hexadecimal digits after `sha256:` | the 64 of a SHA-256
    api_token: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        fine
    github: yes
        github: found a single value | a section
    github: {manage_webhooks: yes}
        github.manage_webhooks: found the text "yes" | true or false
    github: {manage_webhooks: 'true'}
        github.manage_webhooks: found the text "true" | true or false
    github: {reconcile_every: 1ms}
        github.reconcile_every: found "1ms" | at least 1s
    github: {git_url: 'ssh://git@github.com'}
        github.git_url: found "ssh://git@github.com" | https://…, http://…, file:///… or a path
    github: {git_url: ./mirrors}
        fine
    github: {app: {id: x, private_key: y}}
        github.app.id: found the text "x" | a whole number
    docker: {host: /var/run/docker.sock}
        docker.host: found "/var/run/docker.sock" | unix:///path, tcp://host:port or https://host:port
    docker: {host: 'unix:///var/run/docker.sock'}
        fine
    docker: {container_prefix: 'a/b'}
        docker.container_prefix: found "a/b" | a name that Docker takes: letters, digits, -, _ and .
    docker: {default_image: 'a image'}
        docker.default_image: found "a image" | a container image such as ubuntu:16.04
    docker: {images: ['docker.io/library/ubuntu:*', '**', 'r.io:5000/**', '!r.io:5000/old/*']}
        fine
    docker: {images: ['ubuntu:*', docker.io/library/ubuntu, 'ubuntu*', '[']}
        docker.images.1: found "ubuntu:*" | whole names, with registry and tag, such as docker.io/library/ubuntu:*
    docker: {images: ['!docker.io/**']}
        docker.images: every pattern begins with !, so there is nothing that they exclude from | -
    docker: {default_image: debian, images: ['docker.io/library/ubuntu:*']}
        docker.default_image: docker.images does not allow debian | -
    docker: {pull: allways}
        docker.pull: found "allways" | missing | always | never
    docker: {pull: [always]}
        docker.pull: found a list | missing | always | never
    docker: {registries: {'https://x': {username: a, password: b}}}
        docker.registries.https://x: found "https://x" | a host such as registry.example.org or localhost:5000
    docker: {registries: {x: {username: a}}}
        docker.registries.x: the key `password` is missing | -
    docker: {memory: 16}
        docker.memory: found "16" | at least 6MiB, the least that Docker takes
    docker: {memory: lots}
        docker.memory: found "lots" | a size such as 16GiB, 512MB or a number of bytes
    docker: {memory: 99EiB}
        docker.memory: found "99EiB" | less than 8EiB
    docker: {cpus: 0}
        docker.cpus: found 0 | a number of cores of at least 0.01
    docker: {cpus: 1.5}
        fine
    docker: {cpus: .nan}
        docker.cpus: found NaN | a number of cores of at least 0.01
    docker: {pids: 1.5}
        docker.pids: found 1.5 | a whole number
    docker: {pids: -1}
        docker.pids: found -1 | a whole number
    docker: {extra_hosts: {hub: localhost}}
        docker.extra_hosts.hub: found "localhost" | an IP address, or host-gateway
    docker: {extra_hosts: {hub: host-gateway}}
        fine
    builds: {supersede: maybe}
        builds.supersede: found "maybe" | true | queued | false
    builds: {supersede: false}
        fine
    builds: {max_log: 0}
        builds.max_log: found "0" | at least one byte
    builds: {environment: {A: 1, B: true, C: 1.10}}
        fine
    builds: {environment: {A: [1]}}
        builds.environment.A: found a list | a text
    builds: {environment: {A: null}}
        builds.environment.A: found null | a text
    builds: {secrets: [A]}
        builds.secrets: found a list | a section
    retention: {builds: many}
        retention.builds: found the text "many" | a whole number
    redis: {url: 'http://:hunter2@localhost'}
        redis.url: this is not an address of Redis | -
    redis: {}
        redis: the key `url` is missing | -
    hub: {username: me, token: t, url: 'x'}
        hub.url: found "x" | an address such as https://builds.example.org
    kernels: {repositories: {a: {script: x}}}
        kernels.repositories.a: "a" is not a repository (owner/name): there is no slash in it | -
    kernels: {repositories: {a/b: {script: ../x}}}
        kernels.repositories.a/b.script: "../x" is not a path inside the repository: a part between slashes is empty, . or .. | -
    kernels: {repositories: {a/b: {script: x, base: c/d}}}
        kernels.repositories.a/b.base: c/d is not among kernels.repositories | -
    configuration: {path: x}
        configuration: is there twice | -
    x: &x {a: *x}
        : this alias stands inside what it stands for | -
    listen: !rust y
        : the tag `!rust` means nothing here | -
    ? [a]
    : b
        : this key is not a plain word | a text as key
    "#);
}

#[test]
fn what_excludes_each_other_is_named() {
    let text = "\
configuration: {branch: master}
listen: 0.0.0.0:80
github:
  token: x
  app: {id: 1, private_key: y}
docker: {host: 'https://builder:2376'}
builds:
  environment: {NAME: x}
  secrets: {NAME: hunter2, SHORT: abc}
kernels:
  repositories:
    a/base: {script: x}
    a/one: {script: x, base: a/base, baseimage: y, commit: true}
";
    assert_snapshot!(told(text), @r#"
    config.yaml: warning: public_url: GitHub cannot reach this address: no webhooks are set, and pushes are found every github.reconcile_every
       hint: give the address that GitHub sees, or set github.manage_webhooks: false
    config.yaml:1:1: error: configuration: found neither `path` nor `repository`; expected one of them
     1 | configuration:
       | ^^^^^^^^^^^^^
    config.yaml:3:1: warning: github.webhook_secret: no secret is given: whoever reaches the service can start builds
     3 | github:
       | ^^^^^^
       hint: give a long random text; the service puts it into the webhooks that it sets, others need it by hand
    config.yaml:5:3: error: github.app: both `token` and `app` are given
     5 |   app:
       |   ^^^
       hint: statuses and webhooks are made either by a user's token or by an App
    config.yaml:5:16: error: github.app.private_key: this is not a private key in PEM form
     5 | … private_key
       |   ^^^^^^^^^^^
       hint: give the file that GitHub made when a private key was generated for the App; it begins with -----BEGIN RSA PRIVATE KEY-----
    config.yaml:6:1: error: docker.certificates: a host of https:// needs certificates
     6 | docker:
       | ^^^^^^
       hint: give the folder that holds ca.pem, cert.pem and key.pem
    config.yaml:9:13: error: builds.secrets.NAME: also stands in builds.environment
     9 | … NAME
       |   ^^^^
       hint: a variable has one value: remove one of the two
    config.yaml:9:28: warning: builds.secrets.SHORT: is shorter than 6 characters and will not be masked
     9 | … SHORT
       |   ^^^^^
       hint: such a text stands in any log by chance
    config.yaml:13:24: error: kernels.repositories.a/one.base: a/base makes no image to build upon
     13 | … base
        |   ^^^^
       hint: set commit: true there, and no base
    config.yaml:13:38: error: kernels.repositories.a/one.baseimage: both `base` and `baseimage` are given
     13 | … baseimage
        |   ^^^^^^^^^
       hint: a kernel starts either from an image or from what another repository built
    config.yaml:13:52: error: kernels.repositories.a/one.commit: an incremental kernel (one with `base`) is not committed
     13 | … commit
        |   ^^^^^^
       hint: only images of base kernels are built upon
    "#);
}

#[test]
fn a_file_that_is_not_yaml_is_told_with_its_line() {
    assert_snapshot!(told("builds:\n\tconcurrency: 1\n"), @r#"
    config.yaml:2:2: error: this is not YAML: tabs disallowed within this context (block indentation)
     2 |  concurrency:
       |  ^
       hint: YAML is indented with spaces, never with tabs
    "#);
    assert_snapshot!(told("a: [1, 2\nb: 3\n"), @r#"
    config.yaml:2:2: error: this is not YAML: illegal placement of ':' indicator
     2 | … :
       |   ^
    "#);
    assert_snapshot!(told("a: 1\n---\nb: 2\n"), @r#"
    config.yaml:2:1: error: a second document begins here; expected one YAML document in a file
     2 | ---
       | ^^^
    "#);
    assert_snapshot!(told("just a text"), @r#"
    config.yaml:1:1: error: found a single value; expected a section
     1 | …
       | ^
    "#);
    assert_snapshot!(told("- a\n- b\n"), @r#"config.yaml:1:1: error: found a list; expected a section"#);
    assert_snapshot!(told("hub: {token: ${TOKEN}}\n"), @r#"
    config.yaml:1:15: error: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'
     1 | … {
       |   ^
       hint: between { } and [ ], quote ${NAME} and every text that holds one of these or a comma
    "#);
    assert_snapshot!(told("token: \"hunter2\n"), @r#"
    config.yaml:1:8: error: this is not YAML: while scanning a quoted scalar, found unexpected end of stream
     1 | token: "
       |        ^
    "#);
    assert_snapshot!(told("a: b: c\n"), @r#"
    config.yaml:1:5: error: this is not YAML: mapping values are not allowed in this context
     1 | … :
       |   ^
       hint: quote a text that holds `: `, and check the indentation
    "#);
    assert_snapshot!(told(""), @r#"
    config.yaml: error: configuration: neither `path` nor `repository` is given
       hint: say where the build configuration is: a local directory (`path`), or a repository on GitHub (`repository` and `branch`)
    "#);
}

#[test]
fn a_key_that_is_there_twice_is_an_error() {
    let text = format!("{SOURCE}builds:\n  timeout: 1h\n  concurrency: 1\n  timeout: 2h\n");
    assert_snapshot!(told(&text), @r#"
    config.yaml:5:3: error: builds.timeout: is there twice
     5 |   timeout:
       |   ^^^^^^^
       hint: the first one is in line 3
    "#);
}

#[test]
fn what_is_missing_for_github_is_said_with_where_to_find_it() {
    let app = |keys: &str| told(&format!("{SOURCE}github: {{app: {{{keys}}}}}\n"));
    assert_snapshot!(app("id: 1"), @r#"
    config.yaml:2:10: error: github.app: the key `private_key` is missing
     2 | … app
       |   ^^^
       hint: give as `private_key_file` the file that GitHub made when a private key was generated for the App
    "#);
    assert_snapshot!(app("private_key: ''"), @r#"
    config.yaml:2:10: error: github.app: the key `id` is missing
     2 | … app
       |   ^^^
       hint: give the App ID, which the App's page on GitHub shows
    config.yaml:2:29: error: github.app.private_key: the secret is empty
     2 | … …
       |   ^
    "#);
    // One mistake is one finding.
    assert_snapshot!(app("id: 1, private_key_file: nowhere"), @r#"
    config.yaml:2:41: error: github.app.private_key_file: cannot read nowhere: No such file or directory (os error 2)
     2 | … nowhere
       |   ^^^^^^^
    "#);
    assert_snapshot!(app("idd: 1, private_key: x"), @r#"
    config.yaml:2:16: error: github.app.idd: `idd` is not a known key
     2 | … idd
       |   ^^^
       hint: did you mean `id`?
    "#);

    let public = format!("{SOURCE}public_url: https://ci.example.org\n");
    assert_snapshot!(told(&public), @r#"
    config.yaml: warning: github.webhook_secret: no secret is given: whoever reaches the service can start builds
       hint: give a long random text; the service puts it into the webhooks that it sets, others need it by hand
    config.yaml: warning: github: no credential is given: statuses are not sent, webhooks are not set, and private repositories are not fetched
       hint: give `token_file`, or `app` with `id` and `private_key_file`
    "#);
    let token = format!("{public}github: {{token: hunter2, webhook_secret: hunter3}}\n");
    assert_eq!(told(&token), "");
    let token_only = format!("{public}github: {{token: hunter2}}\n");
    assert_eq!(told(&token_only).matches("warning").count(), 1);
    let here = format!("{SOURCE}github: {{manage_webhooks: true}}\n");
    assert_eq!(told(&here), "", "nobody else reaches it");
}

/// Each line has a mistake beside or in a secret.
#[test]
fn no_secret_is_ever_shown() {
    let text = "\
configuration: {path: .}
api_tokn: hunter2
github: {token: hunter2, ap: {id: hunter3}, webhook_secret: [hunter2]}
builds: {concurrency: \"${PASSWORD}\", secrets: {A-B: hunter2}, environment: hunter2}
hub: {username: me, tokn: hunter2}
docker: {registries: {host: hunter2}}
redis: {url: hunter2}
retention: {builds: '${PASSWORD}', logs: '${PASSWORD}'}
";
    let environment = |_: &str| Some("hunter2".to_owned());
    let read = ServiceConfig::parse(text, "config.yaml", Path::new(""), &environment);
    let findings = read.unwrap_err();
    let json = serde_json::to_string(&findings).unwrap();
    let shown = format!("{}{json}{findings:?}", findings.render(false));
    assert_snapshot!(findings.render(false), @r#"
    config.yaml: warning: public_url: GitHub cannot reach this address: no webhooks are set, and pushes are found every github.reconcile_every
       hint: give the address that GitHub sees, or set github.manage_webhooks: false
    config.yaml:2:1: error: api_tokn: `api_tokn` is not a known key
     2 | api_tokn:
       | ^^^^^^^^
       hint: did you mean `api_token`?
    config.yaml:3:26: error: github.ap: `ap` is not a known key
     3 | … ap
       |   ^^
       hint: did you mean `app`?
    config.yaml:3:45: error: github.webhook_secret: found a list; expected a text
     3 | … …
       |   ^
    config.yaml:4:23: error: builds.concurrency: the environment variable's value does not fit here; expected a whole number
     4 | … "${PASSWORD}"
       |   ^^^^^^^^^^^^^
    config.yaml:4:48: error: builds.secrets.A-B: found `A-B`; expected a variable's name (letters, digits and _, not beginning with a digit)
     4 | … A-B
       |   ^^^
    config.yaml:4:76: error: builds.environment: found a single value; expected a section
     4 | … …
       |   ^
    config.yaml:5:21: error: hub.tokn: `tokn` is not a known key
     5 | … tokn
       |   ^^^^
       hint: did you mean `token`?
    config.yaml:6:29: error: docker.registries.host: found a single value; expected a section
     6 | … …
       |   ^
    config.yaml:7:9: error: redis.url: this is not an address of Redis
     7 | … url
       |   ^^^
       hint: write redis://host:port, rediss:// for TLS, redis-sentinel:// or redis-cluster://
    config.yaml:8:21: error: retention.builds: the environment variable's value does not fit here; expected a whole number
     8 | … '${PASSWORD}'
       |   ^^^^^^^^^^^^^
    config.yaml:8:42: error: retention.logs: the environment variable's value does not fit here; expected a duration with its unit, such as 45m, 1h30m or 90d
     8 | … '${PASSWORD}'
       |   ^^^^^^^^^^^^^
    "#);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_secret_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("token", "from a file\n");
    write("two", "one\ntwo\n");
    write("empty", "\n");
    let load = |text: &str| {
        let text = format!("{SOURCE}{text}");
        ServiceConfig::parse(&text, "config.yaml", folder.path(), &nothing)
    };

    let (config, _) = load("api_token_file: token\nbuilds: {secrets: {KEY_file: two}}\n").unwrap();
    assert_eq!(config.api_token, Some(TokenHash::of("from a file")));
    let secrets: Vec<_> = config.builds.secrets.iter().collect();
    assert_eq!((secrets[0].0, secrets[0].1.expose()), ("KEY", "one\ntwo"));

    // Null is the same as leaving the key out, on either side.
    let (config, _) = load("api_token: null\napi_token_file: token\n").unwrap();
    assert_eq!(config.api_token, Some(TokenHash::of("from a file")));
    let (config, _) = load("api_token: direct\napi_token_file: null\n").unwrap();
    assert_eq!(config.api_token, Some(TokenHash::of("direct")));

    let text = "\
api_token: x
api_token_file: token
listen_file: token
github: {token_file: nowhere, webhook_secret_file: empty}
hub: {username: me, token_file: nowhere}
builds: {timeout_file: token}
";
    let told = load(text).unwrap_err().render(false);
    let told = told.replace(&folder.path().display().to_string(), "<folder>");
    assert_snapshot!(told, @r#"
    config.yaml:3:1: error: api_token_file: both `api_token` and `api_token_file` are given
     3 | api_token_file:
       | ^^^^^^^^^^^^^^
       hint: `api_token` is in line 2
    config.yaml:4:1: error: listen_file: `listen_file` is not a known key
     4 | listen_file:
       | ^^^^^^^^^^^
       hint: only a secret may be given as a file
    config.yaml:5:22: error: github.token_file: cannot read <folder>/nowhere: No such file or directory (os error 2)
     5 | … nowhere
       |   ^^^^^^^
    config.yaml:5:52: error: github.webhook_secret_file: <folder>/empty is empty
     5 | … empty
       |   ^^^^^
    config.yaml:6:33: error: hub.token_file: cannot read <folder>/nowhere: No such file or directory (os error 2)
     6 | … nowhere
       |   ^^^^^^^
    config.yaml:7:10: error: builds.timeout_file: `timeout_file` is not a known key
     7 | … timeout_file
       |   ^^^^^^^^^^^^
       hint: only a secret may be given as a file
    "#);
}

#[test]
fn variables_come_from_the_environment() {
    let environment = |name: &str| match name {
        "N" => Some("7".to_owned()),
        "TOKEN" => Some("# {not: [yaml".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let parse = |text: &str| {
        let text = format!("{SOURCE}{text}");
        ServiceConfig::parse(&text, "config.yaml", Path::new(""), &environment)
    };
    let text = "builds: {concurrency: '${N}', environment: {A: 'x${N}y', B: '$${N}'}}\n\
                api_token: ${TOKEN}\n# ${UNSET}\n";
    let (config, _) = parse(text).unwrap();
    assert_eq!(config.builds.concurrency, 7);
    assert_eq!(config.builds.environment["A"], "x7y");
    assert_eq!(config.builds.environment["B"], "${N}");
    assert_eq!(config.api_token, Some(TokenHash::of("# {not: [yaml")));

    let text = "api_token: ${UNSET}\nhub:\n  username: ${ALSO\n  token: ${EMPTY}\n";
    assert_snapshot!(parse(text).unwrap_err().render(false), @r#"
    config.yaml:2:12: error: api_token: the environment variable UNSET is not set
     2 | api_token: ${UNSET}
       |            ^^^^^^^^
       hint: set UNSET where the service is started, or write $${ for a literal ${
    config.yaml:4:13: error: hub.username: `${` has no closing brace
     4 |   username: ${ALSO
       |             ^^^^^^
       hint: write $${ for a literal ${
    config.yaml:5:10: error: hub.token: the environment variable is empty
     5 |   token: …
       |          ^
    "#);
}

#[test]
fn a_client_needs_none_of_the_services_variables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let text = "listen: 127.0.0.1:1\ndata_directory: ./d\ngithub: {token: '${TOKEN}', x: y}\n";
    std::fs::write(&file, text).unwrap();
    let config = ClientConfig::load(&file, &nothing).unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.data_directory, folder.path().join("d"));
    assert_eq!(config.api_token, None);

    std::fs::write(&file, "listen: x\napi_token: ${TOKEN}\n").unwrap();
    let findings = ClientConfig::load(&file, &nothing).unwrap_err();
    assert_eq!(findings.errors(), 2);
}

#[test]
fn findings_are_json_too() {
    let findings = read("configuration: {path: .}\nbuilds:\n  concurency: 0\n").unwrap_err();
    assert_snapshot!(serde_json::to_string_pretty(&findings).unwrap(), @r#"
    [
      {
        "severity": "error",
        "file": "config.yaml",
        "line": 3,
        "column": 3,
        "key": "builds.concurency",
        "message": "`concurency` is not a known key",
        "hint": "did you mean `concurrency`?",
        "excerpt": {
          "text": "  concurency:",
          "start": 2,
          "width": 10
        }
      }
    ]
    "#);
}

#[test]
fn colour_only_marks() {
    let findings = read("configuration: {path: .}\nlisten: x\n").unwrap_err();
    let colored = findings.render(true);
    assert!(colored.contains("\x1b[1;31m"));
    let plain = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
    assert_eq!(plain.replace_all(&colored, ""), findings.render(false));
}

#[test]
fn what_cannot_change_at_run_time_is_named_and_kept() {
    let running = ServiceConfig::default();
    let text = "configuration: {path: ./examples/configuration}\nlisten: 127.0.0.1:1\n\
                docker: {container_prefix: x-, pids: 9}\nredis: {url: 'redis://h'}\n";
    let (new, _) = read(text).unwrap();
    let (config, kept) = running.reload(new);
    assert_eq!(kept, ["listen", "redis", "docker.container_prefix"]);
    assert_eq!(config.listen, running.listen);
    assert_eq!(config.docker.container_prefix, "autobuilder-");
    assert_eq!(config.docker.pids, 9);
    let (_, kept) = running.reload(running.clone());
    assert!(kept.is_empty());
}

#[test]
fn check_looks_at_the_directory_that_a_service_file_names() {
    let folder = tempfile::tempdir().unwrap();
    let branch = folder.path().join("recipes/acme/app");
    std::fs::create_dir_all(&branch).unwrap();
    std::fs::write(branch.join("master.yaml"), "buildscripts: [x.sh]\n").unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "configuration: {path: ./recipes}\n").unwrap();

    let told = check(&file, &nothing).render(false);
    let told = told.replace(&folder.path().display().to_string(), "<folder>");
    assert_snapshot!(told, @r#"
    <folder>/recipes/acme/app/master.yaml:1:16: error: buildscripts: `x.sh` is listed and has no section
     1 | buildscripts: [x.sh]
       |                ^^^^
       hint: add a section `x.sh:` with at least `artifact:`
    "#);
    let findings = check(&folder.path().join("recipes"), &nothing);
    assert_eq!(findings.errors(), 1);
    assert!(check(&folder.path().join("nowhere"), &nothing).has_errors());
}

#[test]
fn a_network_on_which_builds_are_not_kept_apart_is_warned_about() {
    let network = |name: &str| told(&format!("{SOURCE}docker: {{network: {name}}}\n"));
    assert_snapshot!(network("host"), @"
    config.yaml:2:10: warning: docker.network: builds reach all that listens on the Docker host, on 127.0.0.1 too, and each other
     2 | … network
       |   ^^^^^^^
       hint: leave it out: a network is made on which builds cannot reach each other
    ");
    assert!(network("bridge").contains("builds reach each other"));
    assert_eq!(network("of-my-own"), "");
}

#[test]
fn lines_are_counted_as_yaml_counts_them() {
    let text = "configuration: {path: .}\rlisten: x\r\npublic_url: y\rretention: {logs: z}\n";
    let findings = read(text).unwrap_err();
    let shown = findings.iter().filter_map(|finding| {
        let excerpt = finding.excerpt.as_ref()?;
        Some((finding.place.line, excerpt.text.as_str()))
    });
    let shown: Vec<_> = shown.collect();
    assert_eq!(shown, [(2, "listen: x"), (3, "public_url: y"), (4, "… z")]);
}
