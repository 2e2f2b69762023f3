//! A new epoch: authority that was given out before means nothing any more.

use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::args;
use crate::transaction::Tx;

/// Name of the setting that says which epoch's start has things to end yet.
const RESTORED: &str = "restored_epoch";
/// Name of the setting that lists the restores there were, with what the owner signed of them.
const RESTORES: &str = "restores";

impl Connection {
    /// The epoch a restore began, while its coordinator has not ended what older ones left.
    pub async fn restored_epoch(&mut self) -> Result<Option<u32>, StoreError> {
        let setting = self.setting(RESTORED).await?;
        Ok(setting.and_then(|setting| setting.value.parse().ok()).filter(|epoch| *epoch > 0))
    }

    /// The restores there were, as JSON, the oldest first; `None`: there was none.
    pub async fn restores(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.setting(RESTORES).await?.map(|setting| setting.value))
    }

    /// Unfinished missions that somebody has approved.
    pub async fn approved_and_open(&mut self) -> Result<Vec<MissionId>, StoreError> {
        self.values(
            sql!(
                "SELECT DISTINCT missions.id AS value FROM approvals JOIN missions ON missions.id = approvals.mission \
                 WHERE approvals.state = 'approved' AND missions.finished_at IS NULL"
            ),
            args![],
        )
        .await
    }
}

impl Tx {
    /// Log-ins, tokens, invites, agents' sessions and uploads of before are void; leases and approvals are ended by the
    /// coordinator that starts next, since missions follow from them.
    pub async fn begin_epoch(&mut self, epoch: u32, now: Timestamp) -> Result<(), StoreError> {
        self.execute(sql!("UPDATE organism SET epoch = $1"), args![epoch]).await?;
        self.execute(sql!("UPDATE login_sessions SET revoked_at = $1 WHERE revoked_at IS NULL"), args![now])
            .await?;
        // One that was taken away since the backup would be good again.
        self.execute(
            sql!(
                "UPDATE principals SET revoked_at = $1, version = version + 1 \
                 WHERE kind = 'token' AND revoked_at IS NULL"
            ),
            args![now],
        )
        .await?;
        self.execute(
            sql!("UPDATE invites SET revoked_at = $1 WHERE used_at IS NULL AND revoked_at IS NULL"),
            args![now],
        )
        .await?;
        self.execute(
            sql!("UPDATE agent_sessions SET connected = $1, closed_at = $2 WHERE connected"),
            args![false, now],
        )
        .await?;
        self.execute(sql!("DELETE FROM uploads"), args![]).await?;
        self.put_setting(RESTORED, &epoch.to_string(), now).await
    }

    /// The restores there were, as JSON.
    pub async fn put_restores(&mut self, list: &str, now: Timestamp) -> Result<(), StoreError> {
        self.put_setting(RESTORES, list, now).await
    }

    /// What older epochs left has been ended.
    pub async fn epoch_has_begun(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.put_setting(RESTORED, "0", now).await
    }

    /// Approvals given under an older epoch count no more.
    pub async fn void_given_approvals(
        &mut self,
        mission: MissionId,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.execute(
            sql!(
                "UPDATE approvals SET state = 'void', decided_at = $2, version = version + 1 \
                 WHERE mission = $1 AND state = 'approved'"
            ),
            args![mission, now],
        )
        .await
    }
}
