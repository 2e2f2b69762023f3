//! What is said: sentences of ours, ids, ranks, and where in the console to look.

use nexusmon_core::notification::Kind;
use nexusmon_shared::id::ChannelId;
use nexusmon_store::NotificationRow;
use serde_json::{Value, json};

use crate::app::App;
use crate::outward::Message;

/// Things named in one message.
const MOST: usize = 20;

fn sentence(row: &NotificationRow) -> String {
    let said = Kind::parse(&row.kind)
        .map_or_else(|| "Something happened".to_owned(), |kind| kind.sentence(row.rank));
    if row.escalated {
        format!("Nobody has looked yet: {}{}", said[..1].to_lowercase(), &said[1..])
    } else {
        said
    }
}

/// Where in the console it is read.
fn place(row: &NotificationRow) -> String {
    let subject = row.subject.as_str();
    let kind = subject.split('_').next().unwrap_or_default();
    match (kind, Kind::parse(&row.kind)) {
        ("apr", _) => format!("approve/{subject}"),
        (_, Some(Kind::Review)) => "reviews".to_owned(),
        (_, Some(Kind::Halt)) => "halt".to_owned(),
        ("agt", _) => format!("agents/{subject}"),
        ("mis", _) => format!("missions/{subject}"),
        ("trg", _) => "schedules".to_owned(),
        (_, Some(Kind::Alert)) => "audit?action=alert.raised".to_owned(),
        (_, Some(Kind::Suspension)) => "evolution".to_owned(),
        _ => String::new(),
    }
}

fn link(app: &App, path: &str) -> Option<String> {
    let base = app.config.public_url.as_deref()?;
    Some(format!("{base}/organism/{path}").trim_end_matches('/').to_owned())
}

fn item(app: &App, row: &NotificationRow) -> Value {
    json!({"kind": row.kind, "subject": row.subject, "mission": row.mission, "rank": row.rank,
        "escalated": row.escalated, "text": sentence(row), "link": link(app, &place(row)), "at": row.created_at})
}

fn named(row: &NotificationRow) -> String {
    match row.mission {
        Some(mission) if row.subject != mission.to_string() => {
            format!("{} of mission {mission}", row.subject)
        }
        _ => row.subject.clone(),
    }
}

/// Of one thing, or of several that are said together; `rows` is not empty.
pub(super) fn message(app: &App, rows: &[NotificationRow]) -> Message {
    let first = &rows[0];
    let items: Vec<_> = rows.iter().take(MOST).map(|row| item(app, row)).collect();
    let (title, mut lines) = match rows {
        [one] => (sentence(one), vec![named(one)]),
        many => {
            let lines = many.iter().take(MOST).map(|row| format!("{}: {}", sentence(row), named(row)));
            (format!("{} things since the last message", many.len()), lines.collect())
        }
    };
    if rows.len() > MOST {
        lines.push(format!("and {} more", rows.len() - MOST));
    }
    let urgent = |row: &NotificationRow| {
        row.escalated || matches!(Kind::parse(&row.kind), Some(Kind::Approval | Kind::Alert | Kind::Halt))
    };
    Message {
        id: first.id.to_string(),
        title,
        lines,
        link: if rows.len() == 1 { link(app, &place(first)) } else { link(app, "") },
        urgent: rows.iter().any(urgent),
        body: json!({"type": "notification", "organism": app.organism, "count": rows.len(), "items": items}),
    }
}

/// To try a channel.
pub(super) fn test(app: &App, id: ChannelId) -> Message {
    Message {
        id: app.rng.with(|rng| nexusmon_shared::id::NotificationId::new(app.clock.now(), rng)).to_string(),
        title: "NEXUSMON reaches you here".to_owned(),
        lines: vec![format!("This is a test of the channel {id}")],
        link: link(app, "settings"),
        urgent: false,
        body: json!({"type": "test", "organism": app.organism, "channel": id}),
    }
}
