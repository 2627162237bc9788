use serde_json::{Value, json};

use crate::support::{TOKEN, World};
use github_model::May;

fn status(context: &str, state: &str) -> Value {
    json!({"context": context, "state": state, "target_url": "http://there/1"})
}

#[tokio::test]
async fn what_is_set_is_kept_in_order_and_the_newest_is_shown() {
    let world = World::new().await;
    let commit = world.commit();
    let path = format!("/repos/acme/app/statuses/{commit}");
    for (context, state) in [("b", "pending"), ("a", "pending"), ("b", "success")] {
        let answer = world.post(&path, &status(context, state)).await;
        assert_eq!(answer.status, 201, "{}", answer.message());
        assert_eq!(answer.body["context"], context);
    }
    let states: Vec<String> = world
        .github
        .statuses("acme/app", &commit, "b")
        .into_iter()
        .map(|status| status.state)
        .collect();
    assert_eq!(states, ["pending", "success"]);

    for reference in [&commit, "main", "heads/main"] {
        let path = format!("/repos/Acme/APP/commits/{reference}/status");
        let combined = world.get(&path).await.body;
        assert_eq!(combined["state"], "pending");
        assert_eq!(combined["total_count"], 2);
        assert_eq!(combined["statuses"][0]["context"], "a");
        assert_eq!(combined["statuses"][1]["state"], "success");
    }
    world.post(&path, &status("a", "error")).await;
    let combined = world.get("/repos/acme/app/commits/main/status").await;
    assert_eq!(combined.body["state"], "failure");

    let all = world.get("/repos/acme/app/commits/main/statuses?per_page=1&page=2");
    let all = all.await;
    assert_eq!(all.body.as_array().unwrap().len(), 1);
    assert_eq!(all.body[0]["state"], "success");
    assert!(
        all.header("link")
            .unwrap()
            .contains("page=4&per_page=1>; rel=\"last\"")
    );
}

#[tokio::test]
async fn what_github_refuses_is_refused() {
    let world = World::new().await;
    let commit = world.commit();
    let path = format!("/repos/acme/app/statuses/{commit}");
    let refused = async |path: &str, body: Value| {
        let answer = world.post(path, &body).await;
        assert_eq!(answer.status, 422);
        answer.message()
    };
    let nowhere = format!("/repos/acme/app/statuses/{}", "1".repeat(40));
    assert_eq!(
        refused(&nowhere, status("a", "success")).await,
        format!("No commit found for SHA: {}", "1".repeat(40))
    );
    let branch = refused("/repos/acme/app/statuses/main", status("a", "success")).await;
    assert_eq!(branch, "No commit found for SHA: main");
    assert!(refused(&path, status("a", "great")).await.contains("state"));
    let long = json!({"state": "success", "description": "ü".repeat(141)});
    assert!(
        refused(&path, long)
            .await
            .contains("description is too long")
    );
    let most = json!({"state": "success", "description": "ü".repeat(140)});
    assert_eq!(world.post(&path, &most).await.status, 201);
    let script = json!({"state": "success", "target_url": "javascript:alert(1)"});
    assert!(refused(&path, script).await.contains("http(s)"));
}

#[tokio::test]
async fn a_context_of_a_commit_takes_a_thousand() {
    let world = World::new().await;
    let commit = world.commit();
    let path = format!("/repos/acme/app/statuses/{commit}");
    for _ in 0..1000 {
        assert_eq!(world.post(&path, &status("a", "pending")).await.status, 201);
    }
    let answer = world.post(&path, &status("a", "success")).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.message(),
        "Validation Failed: This SHA and context has reached the maximum number of statuses."
    );
    assert_eq!(world.post(&path, &status("b", "pending")).await.status, 201);
}

#[tokio::test]
async fn each_credential_may_what_it_was_given() {
    let world = World::new().await;
    let commit = world.commit();
    world.github.repository("acme/secret").await.private();
    world.github.token("reader").may(&[May::Read]);
    world
        .github
        .token("here")
        .may_in("acme/app", &[May::Statuses]);
    world.github.token("stranger");
    let ask = async |token: &str, path: &str| {
        let path = path.replace("COMMIT", &commit);
        let answer = world
            .ask_as(token, "POST", &path, &status("a", "success"), &[])
            .await
            .unwrap();
        (answer.status, answer.message())
    };
    let app = "/repos/acme/app/statuses/COMMIT";
    let secret = "/repos/acme/secret/statuses/COMMIT";
    let refused = "Resource not accessible by personal access token";
    assert_eq!(ask("token reader", app).await, (403, refused.to_owned()));
    assert_eq!(ask("token reader", secret).await, (403, refused.to_owned()));
    assert_eq!(ask("token stranger", secret).await.0, 404);
    assert_eq!(ask("token here", app).await.0, 201);
    assert_eq!(ask("Bearer here", secret).await.0, 404);
    let unknown = ask("Bearer nonsense", app).await;
    assert_eq!(unknown, (401, "Bad credentials".to_owned()));
    assert_eq!(ask("", app).await.0, 401);
    world.github.revoke("here");
    assert_eq!(ask("Bearer here", app).await.0, 401);

    let seen = world.github.requests();
    assert_eq!(seen[3].credential, "here");
    assert_eq!(seen[3].status, Some(201));
    assert_eq!(seen[3].repository.as_deref(), Some("acme/app"));
}

#[tokio::test]
async fn a_renamed_repository_is_found_by_its_old_name_and_an_archived_one_takes_nothing() {
    let world = World::new().await;
    let commit = world.commit();
    let settings = world.github.repository("acme/app").await;
    let settings = settings.renamed("acme/product");
    let old = format!("/repos/acme/app/statuses/{commit}");
    let answer = world.post(&old, &status("a", "success")).await;
    assert_eq!(answer.status, 307);
    let location = answer.header("location").unwrap().to_owned();
    let path = location.strip_prefix(&world.github.url()).unwrap();
    assert_eq!(world.post(path, &status("a", "success")).await.status, 201);
    let read = world
        .get("/repos/acme/app/commits/main/status?page=1")
        .await;
    assert_eq!(read.status, 301);
    assert!(read.header("location").unwrap().ends_with("?page=1"));
    let new = world.get("/repos/acme/product/commits/main/status").await;
    assert_eq!(new.body["repository"]["full_name"], "acme/product");
    assert_eq!(new.body["total_count"], 1);
    // Git still finds it, too.
    assert!(world.github.folder().join("acme/app/HEAD").exists());

    settings.archived();
    let answer = world.post(path, &status("a", "success")).await;
    assert_eq!(answer.status, 403);
    let known = world.github.requests().into_iter();
    assert!(known.filter(|seen| seen.credential == TOKEN).count() >= 5);
}

#[tokio::test]
async fn a_view_shows_commits_with_their_refs_and_statuses() {
    let world = World::new().await;
    let clone = world.clone_of("acme/app");
    let first = clone.commit("First", &[]);
    clone.git(&["tag", "--annotate", "--message", "A release", "v1"]);
    let second = clone.commit("Second", &[]);
    clone.git(&["push", "--quiet", "--tags", "origin", "HEAD:main"]);
    let path = format!("/repos/acme/app/statuses/{first}");
    world.post(&path, &status("a", "pending")).await;
    world.post(&path, &status("a", "success")).await;

    let view = world.github.view();
    let commits: Vec<_> = view[0]
        .commits
        .iter()
        .map(|commit| (&commit.id, commit.subject.as_str(), commit.refs.join(" ")))
        .collect();
    let (main, tag) = ("refs/heads/main".to_owned(), "refs/tags/v1".to_owned());
    assert_eq!(commits, [(&second, "Second", main), (&first, "First", tag)]);
    assert_eq!(view[0].commits[1].statuses.len(), 1);
    assert_eq!(view[0].commits[1].statuses[0].state, "success");
}
