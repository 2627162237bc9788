//! Lists: hooks and statuses, their pages, and asking again.

use super::*;
use crate::domain::webhooks::Hook;

fn hooks_path() -> &'static str {
    "/repos/acme/app/hooks"
}

fn hook(id: u64) -> Value {
    json!({
        "type": "Repository", "id": id, "name": "web", "active": true, "events": ["push"],
        "config": {
            "url": "https://builds.example.org/build/app/hook", "content_type": "json",
            "insecure_ssl": "0", "secret": "********",
        },
    })
}

fn parsed(id: u64) -> Hook {
    Hook {
        id,
        url: "https://builds.example.org/build/app/hook".to_owned(),
        content_type: "json".to_owned(),
        insecure_ssl: false,
        has_secret: true,
        events: vec!["push".to_owned()],
        active: true,
    }
}

impl World {
    /// Page `number` of the hooks; `next` is where its Link leads.
    async fn page(&self, number: &str, next: Option<String>, body: Value) {
        let mut answer = ResponseTemplate::new(200)
            .set_body_json(body)
            .insert_header("etag", format!("\"{number}\"").as_str());
        if let Some(next) = next {
            let link = format!(
                "<{next}>; rel=\"next\", <{}>; rel=\"last\"",
                self.server.uri()
            );
            answer = answer.insert_header("link", link.as_str());
        }
        let mock = Mock::given(method("GET")).and(path(hooks_path()));
        let mock = match number {
            "1" => mock.and(query_param("per_page", "100")),
            number => mock.and(query_param("page", number)),
        };
        let priority = if number == "1" { 5 } else { 1 };
        self.mount(mock.respond_with(answer).with_priority(priority))
            .await;
    }

    fn address(&self, page: u32) -> String {
        format!(
            "{}{}?per_page=100&page={page}",
            self.server.uri(),
            hooks_path()
        )
    }
}

#[tokio::test]
async fn all_pages_are_read() {
    let world = World::with_token().await;
    world
        .page("1", Some(world.address(2)), json!([hook(1)]))
        .await;
    world
        .page("2", Some(world.address(3)), json!([hook(2)]))
        .await;
    world.page("3", None, json!([hook(3)])).await;
    let list = world.github.hooks(&app(), None).await.unwrap().unwrap();
    assert_eq!(list.items, [parsed(1), parsed(2), parsed(3)]);
    // A change on page 2 would leave the etag of page 1 as it was.
    assert_eq!(list.etag, None);
}

#[tokio::test]
async fn a_single_page_is_read_again_only_when_it_changed() {
    let world = World::with_token().await;
    let same =
        Mock::given(header("if-none-match", "\"1\"")).respond_with(ResponseTemplate::new(304));
    world.mount(same.with_priority(1)).await;
    world.page("1", None, json!([hook(1)])).await;
    let list = world.github.hooks(&app(), None).await.unwrap().unwrap();
    assert_eq!(list.etag.as_deref(), Some("\"1\""));
    let again = world.github.hooks(&app(), list.etag.as_deref()).await;
    assert_eq!(again, Ok(None));
    let changed = world.github.hooks(&app(), Some("\"0\"")).await.unwrap();
    assert_eq!(changed, Some(list));
}

#[tokio::test]
async fn a_list_that_grew_a_second_page_is_read_whole() {
    let world = World::with_token().await;
    world
        .page("1", Some(world.address(2)), json!([hook(1)]))
        .await;
    world.page("2", None, json!([hook(2)])).await;
    let list = world.github.hooks(&app(), Some("\"old\"")).await;
    assert_eq!(list.unwrap().unwrap().items.len(), 2);
    let requests = world.server.received_requests().await.unwrap();
    let conditional = |at: usize| requests[at].headers.contains_key("if-none-match");
    assert!(conditional(0) && !conditional(1));
}

#[tokio::test]
async fn the_next_page_is_read_from_the_same_server_only() {
    let (world, other) = (World::with_token().await, MockServer::start().await);
    // 127.0.0.1 with another port is another server.
    world
        .page("1", Some(format!("{}/next", other.uri())), json!([]))
        .await;
    let error = world.github.hooks(&app(), None).await.unwrap_err();
    assert!(error.to_string().contains("another server"), "{error}");
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    let world = World::with_token().await;
    world.page("1", Some(world.address(2)), json!([])).await;
    world.page("2", Some(world.address(2)), json!([])).await;
    let error = world.github.hooks(&app(), None).await.unwrap_err();
    assert!(error.to_string().contains("more than 50 pages"), "{error}");
    assert_eq!(world.asked().await.len(), 50);
}

#[tokio::test]
async fn hooks_are_read_in_all_their_forms() {
    let world = World::with_token().await;
    let service = json!({"id": 7, "name": "email", "active": false, "events": [], "config": {}});
    let mut numeric = hook(8);
    numeric["config"]["insecure_ssl"] = json!(1);
    numeric["config"]["secret"] = json!("");
    world.page("1", None, json!([service, numeric])).await;
    let list = world.github.hooks(&app(), None).await.unwrap().unwrap();
    let service = Hook {
        id: 7,
        url: String::new(),
        content_type: "form".to_owned(),
        insecure_ssl: false,
        has_secret: false,
        events: Vec::new(),
        active: false,
    };
    let numeric = Hook {
        insecure_ssl: true,
        has_secret: false,
        ..parsed(8)
    };
    assert_eq!(list.items, [service, numeric]);
}

#[tokio::test]
async fn hooks_are_made_put_right_and_removed() {
    let world = World::with_token().await;
    let wanted = WantedHook {
        url: "https://builds.example.org/build/app/hook".to_owned(),
        secret: Some(Token::new("hunter2")),
    };
    let settings = json!({
        "active": true, "events": ["push"],
        "config": {"url": wanted.url, "content_type": "json", "insecure_ssl": "0", "secret": "hunter2"},
    });
    let mut with_name = settings.clone();
    with_name["name"] = json!("web");
    let create = Mock::given(method("POST")).and(path(hooks_path()));
    let create = create.and(body_json(with_name));
    world
        .mount(create.respond_with(ResponseTemplate::new(201).set_body_json(hook(5))))
        .await;
    let update = Mock::given(method("PATCH")).and(path(format!("{}/5", hooks_path())));
    let update = update.and(body_json(settings));
    world
        .mount(update.respond_with(ResponseTemplate::new(200).set_body_json(hook(5))))
        .await;
    let delete = Mock::given(method("DELETE")).and(path(format!("{}/5", hooks_path())));
    world
        .mount(delete.respond_with(ResponseTemplate::new(204)))
        .await;

    let github = &world.github;
    assert_eq!(github.create_hook(&app(), &wanted).await, Ok(parsed(5)));
    assert_eq!(github.update_hook(&app(), 5, &wanted).await, Ok(parsed(5)));
    assert_eq!(github.delete_hook(&app(), 5).await, Ok(()));
    let gone = github.delete_hook(&app(), 6).await;
    assert_eq!(gone, Err(GithubError::NotFound));
}

#[tokio::test]
async fn statuses_are_read_as_github_shows_them() {
    let world = World::with_token().await;
    let body = json!({
        "state": "failure", "total_count": 2, "sha": SHA,
        "statuses": [
            {"context": "autobuilder/a.sh", "state": "failure", "target_url": "https://b/1", "id": 1},
            {"context": "other", "state": "success", "target_url": null, "id": 2},
        ],
    });
    let answer = ResponseTemplate::new(200).set_body_json(body);
    let mock = Mock::given(method("GET"))
        .and(path(format!("/repos/acme/app/commits/{SHA}/status")))
        .and(query_param("per_page", "100"));
    world
        .mount(mock.respond_with(answer.insert_header("etag", "W/\"x\"")))
        .await;
    let list = world.github.statuses(&app(), &sha(), None).await;
    let list = list.unwrap().unwrap();
    assert_eq!(list.etag.as_deref(), Some("W/\"x\""));
    let shown = |context: &str, state: &str, target_url: Option<&str>| Shown {
        context: context.to_owned(),
        state: state.to_owned(),
        target_url: target_url.map(str::to_owned),
    };
    assert_eq!(
        list.items,
        [
            shown("autobuilder/a.sh", "failure", Some("https://b/1")),
            shown("other", "success", None)
        ]
    );
}
