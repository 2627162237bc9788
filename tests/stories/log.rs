//! Logs: every byte as it came, and any part of it at once.

use crate::support::{HOLD, RESULT, Service};

#[tokio::test]
async fn output_stays_as_it_came_whatever_bytes_it_is() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let script = "#!/bin/sh
printf '\\033[31mred\\033[0m\\r\\n'
printf 'not UTF-8: \\377\\376\\n'
for number in 1 2 3 4 5; do echo out $number; echo err $number >&2; done
printf 'no newline at the end'
echo > /target/result.tar.gz
";
    let build = service.push_script(&app, script).await;
    service.wait_for(&build, "succeeded").await;

    let mut expected = b"\x1b[31mred\x1b[0m\r\nnot UTF-8: \xff\xfe\n".to_vec();
    for number in 1..=5 {
        expected.extend(format!("out {number}\nerr {number}\n").bytes());
    }
    expected.extend(b"no newline at the end\n==> ");
    let log = service
        .get(&format!("/api/v1/builds/{build}/log"))
        .await
        .bytes;
    let at = log
        .windows(expected.len())
        .position(|window| window == expected);
    assert!(at.is_some(), "{}", String::from_utf8_lossy(&log));
}

#[tokio::test]
async fn a_log_is_read_from_any_byte_and_any_line() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let build = service
        .push_script(
            &app,
            &format!("#!/bin/sh\ni=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i of many; done\n{RESULT}"),
        )
        .await;
    service.wait_for(&build, "succeeded").await;

    let path = format!("/api/v1/builds/{build}/log");
    let log = service.log(&build).await;
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    for (offset, limit) in [(0, 10), (17, 4000), (log.len() - 5, 100), (log.len(), 10)] {
        let part = service
            .get(&format!("{path}?offset={offset}&limit={limit}"))
            .await;
        let end = (offset + limit).min(log.len());
        assert_eq!(part.text, log[offset..end], "{offset} {limit}");
    }
    for (line, count) in [(1, 3), (1500, 20), (lines.len() - 1, 50)] {
        let part = service
            .get(&format!("{path}?line={line}&lines={count}"))
            .await;
        let end = (line - 1 + count).min(lines.len());
        assert_eq!(part.text, lines[line - 1..end].concat(), "{line} {count}");
    }
    let found = service
        .get(&format!("{path}/search?q=line%202718%20"))
        .await;
    let line = 1 + lines
        .iter()
        .position(|line| line.contains("line 2718 "))
        .unwrap();
    assert!(found.text.contains(&line.to_string()), "{}", found.text);
    let by_branch = service.get("/build/logs/acme/app/main").await;
    assert_eq!(by_branch.text, log);
}

#[tokio::test]
async fn a_log_is_searched_and_timed_while_it_grows_and_when_it_is_over() {
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let lines =
        |word: &str| format!("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo {word} $i; done\n");
    // Times are told to a tenth of a second, and those of the two parts are to differ.
    let script = format!(
        "#!/bin/sh\n{}{HOLD}sleep 0.3\n{}{RESULT}",
        lines("early"),
        lines("late")
    );
    let build = service.push_script(&app, &script).await;
    service.wait_for_log(&build, "early 3000\n").await;
    let path = format!("/api/v1/builds/{build}/log");
    let running = service
        .get(&format!("{path}/search/marks?q=EARLY&buckets=7"))
        .await
        .json();
    assert_eq!(running["matches"], 3000);
    service.release(&build);
    service.wait_for(&build, "succeeded").await;

    let log = service.log(&build).await;
    let lines: Vec<&str> = log.lines().collect();
    let late = 1 + lines.iter().position(|line| *line == "late 1").unwrap() as u64;
    let marks = service
        .get(&format!(
            "{path}/search/marks?q=%5Elate%20%5Cd*7%24&regex=true&buckets=10"
        ))
        .await
        .json();
    assert_eq!(marks["lines"], lines.len());
    let length = marks["bucket_lines"].as_u64().unwrap() as usize;
    let expected: Vec<usize> = lines
        .chunks(length)
        .map(|lines| {
            let matching = |line: &&&str| line.starts_with("late ") && line.ends_with('7');
            lines.iter().filter(matching).count()
        })
        .collect();
    assert_eq!(marks["counts"], serde_json::json!(expected));
    assert_eq!(marks["matches"], 300);

    let back = service
        .get(&format!("{path}/search?q=late&limit=2&before={}", late + 5))
        .await
        .json();
    let found = |at: usize| back["matches"][at]["line"].as_u64().unwrap();
    assert_eq!((found(0), found(1)), (late + 4, late + 3));
    assert_eq!(back["next"], late + 3);

    let times = service
        .get(&format!("{path}/times?line={}&lines=2", late - 1))
        .await
        .json();
    let part = service.get(&format!("{path}?line={late}&lines=1")).await;
    let changes = times["times"].as_array().unwrap();
    assert_eq!(changes.len(), 2, "{times}");
    assert_eq!(changes[1]["line"], late);
    assert_eq!(changes[1]["time"], part.header("x-log-time"));
    assert_eq!(times["next"], late + 1);
}
