//! The bootstrap server.

use super::*;

const KERNEL: &str = "zero-os-master-generic-0123456789.efi";
const STABLE: &str = "zero-os-master-generic.efi";

async fn publish(world: &World, token: &str) -> Result<(), HubError> {
    let settings = BootstrapSettings {
        url: world.model.url(),
        token: Token::new(token),
    };
    let path = world.path();
    let local = Local {
        path: &path,
        name: KERNEL,
    };
    let listener = |line| world.listen(line);
    world.hub.upload_kernel(&settings, local, &listener).await?;
    world
        .hub
        .link_kernel(&settings, KERNEL, STABLE, &listener)
        .await
}

#[tokio::test]
async fn a_kernel_arrives_byte_for_byte_and_is_linked() {
    let world = World::new();
    world.model.next(Route::Kernel, Wrong::answer(503, ""));
    publish(&world, TOKEN).await.unwrap();
    assert_eq!(world.model.kernel(KERNEL).unwrap(), archive(3000));
    assert_eq!(world.model.symlink(STABLE).as_deref(), Some(KERNEL));
    assert_eq!(
        world.results(),
        [
            ("bootstrap_upload", "unavailable"),
            ("bootstrap_upload", "success"),
            ("bootstrap_link", "success")
        ]
    );
}

#[tokio::test]
async fn its_errors_come_with_status_200() {
    let world = World::new();
    let error = publish(&world, "another-token").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the bootstrap server refuses it: access denied"
    );
    world
        .model
        .next(Route::Symlink, Wrong::Error("disk is full".to_owned()));
    let error = publish(&world, TOKEN).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the bootstrap server refuses it: disk is full"
    );
    assert_eq!(world.model.symlink(STABLE), None);
}
