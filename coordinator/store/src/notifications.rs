//! Where people are told of what, and what is still to be sent: channels, rules, and the outbox.

use nexusmon_shared::id::{ApprovalId, ChannelId, MissionId, NotificationId, PrincipalId, RuleId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use crate::audit::AuditRow;
use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Value, args, record, words};
use crate::transaction::Tx;

words! {
    pub enum ChannelKind {
        Webhook = "webhook",
        Ntfy = "ntfy",
        Slack = "slack",
        Email = "email",
        /// The owner's browsers.
        Push = "push",
    }

    pub enum NotificationState {
        Waiting = "waiting",
        Sent = "sent",
        Failed = "failed",
        /// Over before it was sent.
        Moot = "moot",
    }
}

record! {
    pub struct ChannelRow {
        pub id: ChannelId,
        pub owner: PrincipalId,
        pub name: String,
        pub kind: ChannelKind,
        /// JSON: what may be read of it.
        pub shown: String,
        pub sealed: String,
        pub created_at: Timestamp,
        pub last_sent_at: Option<Timestamp>,
        /// In a row.
        pub failures: i64,
        pub last_error: Option<String>,
    }

    pub struct RuleRow {
        pub id: RuleId,
        pub owner: PrincipalId,
        pub name: String,
        pub channel: ChannelId,
        /// JSON.
        pub rule: String,
        pub paused: bool,
        pub created_at: Timestamp,
        pub changed_at: Timestamp,
        pub version: i64,
    }

    /// One thing that one target is to be told, once.
    pub struct NotificationRow {
        pub id: NotificationId,
        pub rule: String,
        pub owner: PrincipalId,
        /// A channel, or a push subscription.
        pub target: String,
        pub occasion: String,
        pub batch: String,
        pub kind: String,
        pub subject: String,
        pub mission: Option<MissionId>,
        pub rank: Option<Rank>,
        pub escalated: bool,
        pub state: NotificationState,
        pub due_at: Timestamp,
        pub attempts: i64,
        pub claimed_until: Timestamp,
        pub error: Option<String>,
        pub created_at: Timestamp,
        pub settled_at: Option<Timestamp>,
    }

    pub struct WaitingCount {
        pub target: String,
        pub count: i64,
        /// Those of them that are due.
        pub due: i64,
    }
}

impl Connection {
    /// Of one person, or everybody's, by name.
    pub async fn channels(&mut self, owner: Option<PrincipalId>) -> Result<Vec<ChannelRow>, StoreError> {
        let mut list = Filter::over::<ChannelRow>("notification_channels");
        list.equals("owner", owner.as_ref());
        list.order_by("name, id");
        list.fetch(self, 100_000).await
    }

    pub async fn channel(&mut self, id: ChannelId) -> Result<Option<ChannelRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM notification_channels WHERE id = $1", ChannelRow),
            args![id],
        )
        .await
    }

    /// Of one person, or everybody's, by name.
    pub async fn rules(&mut self, owner: Option<PrincipalId>) -> Result<Vec<RuleRow>, StoreError> {
        let mut list = Filter::over::<RuleRow>("notification_rules");
        list.equals("owner", owner.as_ref());
        list.order_by("name, id");
        list.fetch(self, 100_000).await
    }

    pub async fn rule(&mut self, id: RuleId) -> Result<Option<RuleRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM notification_rules WHERE id = $1", RuleRow),
            args![id],
        )
        .await
    }

    /// Entries after `seq` that somebody may want to be told of, oldest first.
    pub async fn notable_after(&mut self, seq: i64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM audit WHERE seq > $1 \
                 AND action IN ('approval.requested', 'alert.raised', 'review.opened', 'mission.completed', \
                 'mission.expired', 'mission.paused', 'trait.suspended', 'trigger.paused', \
                 'capability.disabled', 'agent.lost', 'halt.pulled') \
                 AND (action <> 'mission.completed' OR body LIKE '%\"status\":\"failed\"%') \
                 AND (action <> 'mission.paused' OR body LIKE '%\"reason\":\"budget\"%') \
                 ORDER BY seq LIMIT $2",
                AuditRow
            ),
            args![seq, i64::from(limit)],
        )
        .await
    }

    /// How much waits for each target.
    pub async fn notifications_waiting(&mut self, now: Timestamp) -> Result<Vec<WaitingCount>, StoreError> {
        self.fetch(
            sql!(
                "SELECT target, COUNT(*) AS count, COUNT(CASE WHEN due_at <= $1 THEN 1 END) AS due \
                 FROM notifications WHERE state = 'waiting' GROUP BY target"
            ),
            args![now],
        )
        .await
    }

    /// When the next target has one that is due, with none under way and none that failed and is not due again yet.
    pub async fn next_notification(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let next = self
            .value::<Option<Timestamp>>(
                sql!(
                    "SELECT MIN(CASE WHEN held > due THEN held ELSE due END) AS value FROM (\
                     SELECT MIN(due_at) AS due, MAX(CASE WHEN attempts > 0 AND due_at > claimed_until \
                     THEN due_at ELSE claimed_until END) AS held \
                     FROM notifications WHERE state = 'waiting' GROUP BY target) AS targets"
                ),
                args![],
            )
            .await?;
        Ok(next.flatten())
    }

    /// Somebody's, newest first.
    pub async fn notification_list(
        &mut self,
        owner: PrincipalId,
        page: &PageRequest,
    ) -> Result<Page<NotificationRow>, StoreError> {
        let mut list = Filter::over::<NotificationRow>("notifications");
        list.equals("owner", Some(&owner));
        list.newest_first("id", page);
        list.page(self, page, |row: &NotificationRow| row.id.to_string()).await
    }

    /// Whether somebody who may decide has looked at it.
    pub async fn approval_seen(&mut self, approval: ApprovalId) -> Result<bool, StoreError> {
        let count: Option<i64> = self
            .value(
                sql!(
                    "SELECT (SELECT COUNT(*) FROM approval_views WHERE approval = $1) \
                     + (SELECT COUNT(*) FROM approval_decisions WHERE approval = $1) AS value"
                ),
                args![approval],
            )
            .await?;
        Ok(count.unwrap_or(0) > 0)
    }

    /// When an agent was last said to be lost.
    pub async fn last_lost(&mut self, agent: &str) -> Result<Option<Timestamp>, StoreError> {
        self.value(
            sql!(
                "SELECT at AS value FROM audit WHERE subject = $1 AND mission IS NULL \
                 AND action = 'agent.lost' ORDER BY seq DESC LIMIT 1"
            ),
            args![agent],
        )
        .await
    }
}

impl Tx {
    /// A name its owner has already is `Unique`.
    pub async fn insert_channel(&mut self, row: &ChannelRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("notification_channels", ChannelRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Writes one as a whole.
    pub async fn update_channel(&mut self, row: &ChannelRow) -> Result<(), StoreError> {
        let sql = sql!(
            "UPDATE notification_channels SET [set] FROM [rows] WHERE notification_channels.id = r.id",
            ChannelRow
        );
        self.execute_batch(sql, std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// With what still waited for it.
    pub async fn delete_channel(&mut self, id: ChannelId) -> Result<bool, StoreError> {
        self.execute(
            sql!("DELETE FROM notifications WHERE target = $1 AND state = 'waiting'"),
            args![id.to_string()],
        )
        .await?;
        Ok(self.execute(sql!("DELETE FROM notification_channels WHERE id = $1"), args![id]).await? > 0)
    }

    /// What a message came to there. One that was taken may leave an error, too: not everybody got it.
    pub async fn channel_told(
        &mut self,
        id: ChannelId,
        taken: bool,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let error = error.map(str::to_owned);
        let sql = if taken {
            sql!(
                "UPDATE notification_channels SET last_sent_at = $2, failures = 0, last_error = $3 WHERE id = $1"
            )
        } else {
            sql!(
                "UPDATE notification_channels SET failures = failures + 1, last_error = $3 \
                 WHERE id = $1 AND $2 >= 0"
            )
        };
        self.execute(sql, args![id, now, error]).await.map(drop)
    }

    /// A name its owner has already is `Unique`.
    pub async fn insert_rule(&mut self, row: &RuleRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("notification_rules", RuleRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Writes one as a whole.
    pub async fn update_rule(&mut self, row: &RuleRow) -> Result<(), StoreError> {
        let sql = sql!(
            "UPDATE notification_rules SET [set] FROM [rows] WHERE notification_rules.id = r.id",
            RuleRow
        );
        self.execute_batch(sql, std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// Nothing more is told by a rule as it was.
    pub async fn delete_waiting_of(&mut self, rule: RuleId) -> Result<u64, StoreError> {
        self.execute(
            sql!("DELETE FROM notifications WHERE rule = $1 AND state = 'waiting'"),
            args![rule.to_string()],
        )
        .await
    }

    /// With what still waited by it.
    pub async fn delete_rule(&mut self, id: RuleId) -> Result<bool, StoreError> {
        self.delete_waiting_of(id).await?;
        Ok(self.execute(sql!("DELETE FROM notification_rules WHERE id = $1"), args![id]).await? > 0)
    }

    /// Takes what is to be told; what was taken before is left alone.
    pub async fn insert_notifications(&mut self, rows: &[NotificationRow]) -> Result<u64, StoreError> {
        let insert =
            insert!("notifications", NotificationRow, "ON CONFLICT (target, rule, occasion) DO NOTHING");
        self.execute_batch(insert, rows, args![]).await
    }

    /// Takes the oldest due one of each target that nobody is sending to, and nobody else gets them until `until`. A target
    /// where one failed is left alone until that one is due again; those where nothing failed come first.
    pub async fn claim_notifications(
        &mut self,
        now: Timestamp,
        until: Timestamp,
        most: u32,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        self.fetch(
            sql!(
                "UPDATE notifications SET claimed_until = $2, attempts = attempts + 1 WHERE id IN (\
                 SELECT MIN(n.id) FROM notifications n WHERE n.state = 'waiting' AND n.due_at <= $1 \
                 AND NOT EXISTS (SELECT 1 FROM notifications b WHERE b.target = n.target \
                 AND b.state = 'waiting' AND (b.claimed_until > $1 OR (b.attempts > 0 AND b.due_at > $1))) \
                 GROUP BY n.target ORDER BY MAX(CASE WHEN n.attempts > 0 THEN 1 ELSE 0 END), \
                 CASE WHEN COALESCE((SELECT c.failures FROM notification_channels c WHERE c.id = n.target), \
                 (SELECT p.failures FROM push_subscriptions p WHERE p.id = n.target), 0) > 0 THEN 1 ELSE 0 END, \
                 MIN(n.due_at) LIMIT $3) \
                 AND state = 'waiting' AND claimed_until <= $1 RETURNING [columns]",
                NotificationRow
            ),
            args![now, until, i64::from(most)],
        )
        .await
    }

    /// The others of its batch that are due.
    pub async fn claim_batch(
        &mut self,
        first: &NotificationRow,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        self.fetch(
            sql!(
                "UPDATE notifications SET claimed_until = $2, attempts = attempts + 1 \
                 WHERE target = $3 AND rule = $4 AND batch = $5 AND id <> $6 AND state = 'waiting' \
                 AND due_at <= $1 AND claimed_until <= $1 RETURNING [columns]",
                NotificationRow
            ),
            args![now, until, first.target, first.rule, first.batch, first.id],
        )
        .await
    }

    /// What a claimed one came to; `due_at` is when it is tried again, where it still waits.
    pub async fn settle_notifications(
        &mut self,
        ids: &[NotificationId],
        state: NotificationState,
        due_at: Timestamp,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let settled = (state != NotificationState::Waiting).then_some(now);
        let error = error.map(str::to_owned);
        let sql = sql!(
            "UPDATE notifications SET state = $2, due_at = $3, error = $4, settled_at = $5, claimed_until = 0 \
             WHERE id IN (SELECT value FROM [rows]) AND state = 'waiting'",
            Value<NotificationId>
        );
        self.execute_by(sql, ids, args![state, due_at, error, settled]).await.map(drop)
    }

    /// True where it is the first time.
    pub async fn put_approval_view(
        &mut self,
        approval: ApprovalId,
        principal: PrincipalId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = self
            .execute(
                sql!(
                    "INSERT INTO approval_views (approval, principal, at) VALUES ($1, $2, $3) \
                     ON CONFLICT (approval, principal) DO NOTHING"
                ),
                args![approval, principal, now],
            )
            .await?;
        Ok(done > 0)
    }

    /// Forgets what was settled before `before`, and looks at approvals from before `before`.
    pub async fn forget_notifications(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(sql!("DELETE FROM approval_views WHERE at < $1"), args![before]).await?;
        self.execute(
            sql!("DELETE FROM notifications WHERE settled_at IS NOT NULL AND settled_at < $1"),
            args![before],
        )
        .await
    }
}
