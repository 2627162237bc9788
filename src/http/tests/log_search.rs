//! Searching a log, the marks of a search, and the times of lines.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;

async fn lines(fixture: &Fixture, path: &str) -> (Vec<u64>, Value) {
    let found = json(&fixture.get(path).await);
    let lines = found["matches"].as_array().unwrap().iter();
    let lines = lines.map(|found| found["line"].as_u64().unwrap());
    (lines.collect(), found["next"].clone())
}

#[tokio::test]
async fn a_search_goes_both_ways_in_steps_of_any_length() {
    let fixture = Fixture::new();
    let text = "ok\nerror 1\nok\nerror 2\nerror 3\n";
    let id = fixture.built('a', text.as_bytes()).await;
    let found = async |query: &str| {
        let path = format!("/api/v1/builds/{id}/log/search?q=Error&{query}");
        lines(&fixture, &path).await
    };
    assert_eq!(found("limit=2").await, (vec![2, 4], json!(5)));
    assert_eq!(found("limit=2&from=5").await, (vec![5], Value::Null));
    assert_eq!(found("limit=2&before=99").await, (vec![5, 4], json!(4)));
    assert_eq!(found("limit=2&before=4").await, (vec![2], Value::Null));
    assert_eq!(found("before=5").await, (vec![4, 2], Value::Null));
    assert_eq!(found("before=1").await, (vec![], Value::Null));

    let wrong = async |query: &str| {
        let path = format!("/api/v1/builds/{id}/log/search?q=Error&{query}");
        failure(&fixture.get(&path).await)
    };
    insta::assert_snapshot!(wrong("from=1&before=3").await, @"400: from and before were asked for at once; give from to search forward, or before to search backward");
    insta::assert_snapshot!(wrong("before=0").await, @"400: before is 0; the first line is 1");
    insta::assert_snapshot!(wrong("limit=0").await, @"400: limit is 0; it may be 1 to 1000");
    insta::assert_snapshot!(wrong("limit=1001").await, @"400: limit is 1001; it may be 1 to 1000");
}

#[tokio::test]
async fn matches_are_counted_along_the_log() {
    let fixture = Fixture::new();
    let log: String = (1..=2500).map(|line| format!("line {line}\n")).collect();
    let id = fixture.built('a', log.as_bytes()).await;
    let path = format!("/api/v1/builds/{id}/log/search/marks");
    let marks = async |query: &str| json(&fixture.get(&format!("{path}?{query}")).await);
    assert_eq!(
        marks("q=LINE%201&buckets=3").await,
        json!({"lines": 2500, "bucket_lines": 834, "counts": [111, 669, 331], "matches": 1111})
    );
    assert_eq!(
        marks("q=7%24&regex=true&case=true&buckets=1").await,
        json!({"lines": 2500, "bucket_lines": 2500, "counts": [250], "matches": 250})
    );
    let default = marks("q=nothing").await;
    assert_eq!(default["bucket_lines"], 5);
    assert_eq!(default["counts"].as_array().unwrap().len(), 500);
    let each = marks("q=line%2025&buckets=2000").await;
    assert_eq!(each["bucket_lines"], 2);
    assert_eq!(each["counts"].as_array().unwrap().len(), 1250);

    let wrong = async |query: &str| failure(&fixture.get(&format!("{path}?{query}")).await);
    insta::assert_snapshot!(wrong("q=x&buckets=0").await, @"400: buckets is 0; it may be 1 to 2000");
    insta::assert_snapshot!(wrong("q=x&buckets=2001").await, @"400: buckets is 2001; it may be 1 to 2000");
    insta::assert_snapshot!(wrong("q=").await, @"400: the text to look for is empty or too long; it may have 1 to 1000 bytes");
    insta::assert_snapshot!(wrong("q=x(&regex=true").await, @"400: the expression cannot be read: unclosed group; correct the expression, or search for it as plain text");
    insta::assert_snapshot!(wrong("q=%5Cw%7B999%7D&regex=true").await, @"400: the expression is too large; make it shorter, above all what it repeats");
    assert!(wrong("q=x&limit=1").await.contains("unknown field `limit`"));
}

#[tokio::test]
async fn a_log_that_grows_is_searched_as_it_was_announced() {
    let fixture = Fixture::new();
    let id = fixture.push('a').await.remove(0);
    let marks = format!("/api/v1/builds/{id}/log/search/marks?q=far&buckets=2");
    let times = format!("/api/v1/builds/{id}/log/times");
    let nothing = json!({"lines": 0, "bucket_lines": 1, "counts": [], "matches": 0});
    assert_eq!(json(&fixture.get(&marks).await), nothing);
    let no_times = json!({"times": [], "next": null});
    assert_eq!(json(&fixture.get(&times).await), no_times);

    fixture.advance(&id, &[State::Preparing]).await;
    let mut writer = fixture.log(&id).await;
    assert_eq!(json(&fixture.get(&marks).await), nothing);
    writer.append(1_000, 0, b"so far\nso far so g").unwrap();
    // What the file has beyond what was announced may still be taken back.
    let log = fixture.web.service.logs.folder(&id).join("log");
    let mut file = std::fs::OpenOptions::new().append(true).open(log).unwrap();
    std::io::Write::write_all(&mut file, b"ood\nfar\n").unwrap();
    let growing = json!({"lines": 2, "bucket_lines": 1, "counts": [1, 1], "matches": 2});
    assert_eq!(json(&fixture.get(&marks).await), growing);
    for direction in ["from=1", "before=9"] {
        let path = format!("/api/v1/builds/{id}/log/search?q=far&{direction}");
        assert_eq!(lines(&fixture, &path).await.0.len(), 2);
    }
    let one = json!({"times": [{"line": 1, "time": "1970-01-01T00:00:01.000Z"}], "next": null});
    assert_eq!(json(&fixture.get(&times).await), one);
}

#[tokio::test]
async fn lines_have_times() {
    let fixture = Fixture::new();
    let id = fixture.push('a').await.remove(0);
    fixture.advance(&id, &[State::Preparing]).await;
    let mut writer = fixture.log(&id).await;
    writer.append(1_000, 0, b"1\n2\n").unwrap();
    writer.append(61_234, 4, b"3\n4\n").unwrap();
    let path = format!("/api/v1/builds/{id}/log/times");
    let times = async |query: &str| json(&fixture.get(&format!("{path}?{query}")).await);
    let (early, late) = ("1970-01-01T00:00:01.000Z", "1970-01-01T00:01:01.234Z");
    assert_eq!(
        times("").await,
        json!({"times": [{"line": 1, "time": early}, {"line": 3, "time": late}], "next": null})
    );
    assert_eq!(
        times("line=2&lines=2").await,
        json!({"times": [{"line": 2, "time": early}, {"line": 3, "time": late}], "next": 4})
    );
    assert_eq!(times("line=9").await, json!({"times": [], "next": null}));
    let wrong = async |query: &str| failure(&fixture.get(&format!("{path}?{query}")).await);
    insta::assert_snapshot!(wrong("line=0").await, @"400: line is 0; the first line is 1");
    insta::assert_snapshot!(wrong("lines=0").await, @"400: lines is 0; it may be 1 to 10000");
    insta::assert_snapshot!(wrong("lines=10001").await, @"400: lines is 10001; it may be 1 to 10000");
}

#[tokio::test]
async fn a_log_that_is_no_longer_kept_is_not_searched() {
    let fixture = Fixture::new();
    let id = fixture.built('a', b"text\n").await;
    std::fs::remove_dir_all(fixture.web.service.logs.folder(&id)).unwrap();
    for path in ["search/marks?q=x", "search?q=x", "times"] {
        let response = fixture
            .get(&format!("/api/v1/builds/{id}/log/{path}"))
            .await;
        assert!(failure(&response).contains("no longer kept"), "{path}");
    }
}

/// Searches wait for each other, and nothing that only reads waits for them.
#[tokio::test]
async fn lines_are_read_while_no_search_has_a_place() {
    let fixture = Fixture::new();
    let id = fixture.built('a', b"text\n").await;
    let searches = Arc::clone(&fixture.web.searches);
    let all = u32::try_from(searches.available_permits()).unwrap();
    let places = searches.acquire_many_owned(all).await.unwrap();
    let path = format!("/api/v1/builds/{id}/log");
    assert_eq!(fixture.get(&path).await.body(), "text\n");
    assert_eq!(fixture.get(&format!("{path}/times")).await.status(), 200);
    let marks = format!("{path}/search/marks?q=text");
    let mut waiting = Box::pin(fixture.get(&marks));
    let patience = Duration::from_millis(50);
    assert!(tokio::time::timeout(patience, &mut waiting).await.is_err());
    drop(places);
    assert_eq!(json(&waiting.await)["matches"], 1);
}

/// A search that would take a minute or more ends soon after its client has gone.
#[tokio::test]
async fn a_search_ends_when_its_client_has_gone() {
    let fixture = Fixture::new();
    let id = fixture
        .built('a', "ä ö ü ß\n".repeat(2_000_000).as_bytes())
        .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let web = Arc::clone(&fixture.web);
    let all = web.searches.available_permits();
    let served = tokio::spawn(super::super::server::serve_web(
        listener,
        Arc::clone(&web),
        std::future::pending(),
    ));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/v1/builds/{id}/log/search/marks?regex=true&q=%5Cb%5Cw%2B%5Cd%5Cb HTTP/1.1\r\nhost: a\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let wait = async |is_there: &dyn Fn() -> bool| {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !is_there() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("in time");
    };
    wait(&|| web.searches.available_permits() < all).await;
    drop(client);
    wait(&|| web.searches.available_permits() == all).await;
    served.abort();
}
