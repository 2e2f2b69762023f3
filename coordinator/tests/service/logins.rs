//! Log-ins that come together.

use std::net::IpAddr;

use futures::future::join_all;
use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::auth;

use crate::harness::{World, both};

async fn log_in(world: &World, secret: &str, network: [u8; 4]) -> Result<(), Error> {
    let login = auth::Login {
        name: None,
        secret: secret.to_owned(),
        kind: auth::SessionKind::Bearer,
        replaces: None,
        network: IpAddr::from(network),
    };
    auth::login(&world.app, login).await.map(drop)
}

both! {
    async fn guesses_that_come_together_are_slowed_down_like_others(world) {
        let guesses = join_all((0..40).map(|_| log_in(&world, "not the key", [192, 0, 2, 1]))).await;
        let wrong = guesses.iter().filter(|one| matches!(one, Err(Error::Unauthenticated { .. }))).count();
        let later = guesses.iter().filter(|one| matches!(one, Err(Error::RateLimited { .. }))).count();
        assert_eq!(wrong + later, 40);
        // Six are free, and two may be at it at once.
        assert!((1..=7).contains(&wrong), "{wrong} were tried");
    }

    async fn whoever_has_the_key_gets_in_beside_a_flood(world) {
        let flood = join_all((0..40).map(|_| async {
            let login = auth::Login {
                name: Some("nobody".to_owned()),
                secret: "not the key".to_owned(),
                kind: auth::SessionKind::Bearer,
                replaces: None,
                network: IpAddr::from([192, 0, 2, 1]),
            };
            auth::login(&world.app, login).await.map(drop)
        }));
        let (flood, owner) = futures::join!(flood, log_in(&world, "a key for tests only", [192, 0, 2, 9]));
        owner.unwrap();
        assert!(flood.iter().all(Result::is_err));
    }
}
