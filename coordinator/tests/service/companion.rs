//! What only reads cannot write: not by a unit of work, and not by the hands of others.

use nexusmon_coordinator::error::Error;
use nexusmon_store::StoreError;
use serde_json::json;

use crate::harness::{World, both};

both! {
    async fn within_reading_no_unit_of_work_begins(world) {
        let app = world.app.clone();
        let tried = app.store.reading(app.store.write("a try", |tx| {
            Box::pin(async move { tx.put_setting("tried", "1", tx.now()).await })
        })).await;
        assert!(matches!(tried, Err(StoreError::Reading)), "{tried:?}");
        // Missions are written by a task that gathers them; it does not know who asked.
        let mission = json!({"goal": "x", "tasks": [{"id": "a", "uses": "core.noop"}]});
        let tried = app.store.reading(world.try_create(mission.clone())).await;
        assert!(matches!(tried, Err(Error::Internal(_))), "{tried:?}");
        let mut read = app.store.read().await.unwrap();
        assert!(read.setting("tried").await.unwrap().is_none());
        assert_eq!(read.mission_counts().await.unwrap().len(), 0);
        // The very same works outside.
        world.create(mission).await;
    }
}
