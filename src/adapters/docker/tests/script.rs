//! What the runner does with a script.

use super::*;

#[tokio::test]
async fn stdout_and_stderr_keep_their_order() {
    let script = "i=0; while [ $i -lt 20000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    let log = Container::of(script).await.log().await;
    let expected: String = (0..20000).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert!(log.text() == expected, "lines are lost or out of order");
    assert_eq!(log.exit(), Exit::Code(0));
}

#[tokio::test]
async fn a_script_ends_with_its_code_or_its_signal() {
    assert_eq!(
        Container::of("exit 3").await.log().await.exit(),
        Exit::Code(3)
    );
    assert_eq!(
        Container::of("kill -9 $$").await.log().await.exit(),
        Exit::Signal(9)
    );
}

#[tokio::test]
async fn a_script_that_cannot_run_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    file("no-such-interpreter.sh", "#!/bin/bash -e\n");
    file("windows.sh", "#!/bin/sh\r\necho\r\n");
    file("no-interpreter.sh", "pwd\n");
    file("fine.sh", "#!/bin/sh\npwd\n");
    let run = async |program: &str| {
        let container = Container::create(&spec()).await;
        container
            .docker
            .upload(&container.id, vec![folder_at(folder.path(), "/app")])
            .await
            .unwrap();
        let arguments = vec![program.to_owned()];
        container
            .run(&Job {
                folder: "/app".to_owned(),
                arguments,
                ..job("")
            })
            .await;
        let log = container.log().await;
        (log.text(), log.exit())
    };
    let cases = [
        (
            "./no-such-interpreter.sh",
            127,
            "its interpreter /bin/bash is not in the image",
        ),
        (
            "./windows.sh",
            127,
            "its first line ends in a carriage return, so it asks for \"/bin/sh\\r\"",
        ),
        ("./not-there.sh", 127, "there is no such file"),
        ("/app", 126, "it is a folder"),
    ];
    for (program, code, reason) in cases {
        let said = format!("autobuilder: cannot run {program}: {reason}\n");
        assert_eq!(run(program).await, (said, Exit::Code(code)));
    }
    // Neither was executable. The second is given to /bin/sh, as shells do.
    for program in ["./fine.sh", "./no-interpreter.sh"] {
        assert_eq!(
            run(program).await,
            ("/app\n".to_owned(), Exit::Code(0)),
            "{program}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let container = Container::start(
        &spec(),
        &Job {
            folder: "/nowhere".to_owned(),
            ..job("true")
        },
    )
    .await;
    let log = container.log().await;
    assert_eq!(
        log.text(),
        "autobuilder: cannot run /bin/sh: the folder /nowhere does not exist\n"
    );
}

#[tokio::test]
async fn a_background_process_that_holds_the_pipe_does_not_hold_the_build() {
    // One that ends when it is asked to, one that does not, both in sessions of their own.
    let script = "setsid sh -c 'while :; do sleep 0.01; echo noise; done' &
        setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' &
        sleep 0.1; echo done; exit 7";
    let container = Container::of(script).await;
    let log = container.log().await;
    assert_eq!(log.exit(), Exit::Code(7));
    assert!(log.text().contains("done\n"));
    let processes = container.exec("ps -o args");
    assert!(
        !processes.contains("sleep") && !processes.contains("noise"),
        "leftovers: {processes}"
    );
}

#[tokio::test]
async fn orphans_are_reaped() {
    // On a busy machine orphans come faster than they can be reaped, so the script waits from time
    // to time until there is room again: which comes only if somebody reaps.
    let script = "i=0; while [ $i -lt 600 ]; do (true &); i=$((i+1)); \
        until set -- /proc/[0-9]*; [ $# -lt 20 ]; do :; done; done; echo done";
    let container = Container::start(
        &ContainerSpec {
            pids: Some(40),
            ..spec()
        },
        &job(script),
    )
    .await;
    let log = container.log().await;
    assert_eq!((log.text().as_str(), log.exit()), ("done\n", Exit::Code(0)));
    assert_eq!(log.outcome().pids_hits, 0);
}

#[tokio::test]
async fn the_script_finds_itself_where_and_as_whom_it_expects() {
    let job = Job {
        folder: "/tmp".to_owned(),
        environment: vec![("GREETING".to_owned(), "hello\nworld=1".to_owned())],
        ..job("pwd; id -u; echo $HOME; echo \"$GREETING\"; tty; cat; ls -A /.autobuilder")
    };
    let log = Container::start(&spec(), &job).await.log().await;
    let expected = "/tmp\n0\n/root\nhello\nworld=1\nnot a tty\nresult.draft\nrunner\nspool\n";
    assert_eq!(log.text(), expected);
}
