//! Logs: every byte as it came, and any part of it at once.

use crate::support::{RESULT, Service};

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
