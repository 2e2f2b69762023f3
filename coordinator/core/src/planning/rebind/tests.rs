use proptest::prelude::*;
use serde_json::json;

use super::*;

fn task(with: Value) -> TaskDraft {
    serde_json::from_value(json!({"id": "dump", "uses": "shell.run", "with": with})).unwrap()
}

fn pair(old: &str, new: &str) -> Change {
    (old.to_owned(), new.to_owned())
}

#[test]
fn a_changed_value_is_put_where_the_old_one_was() {
    let changes = changes("back up the database db1", "Backing up database db2 please").unwrap();
    assert_eq!(changes, [pair("db1", "db2")]);
    let plan = [task(json!({"script": "pg_dump $DB", "env": {"DB": "db1"}}))];
    let (bound, differs) = rebind(&plan, &changes).unwrap();
    assert_eq!(bound[0].with["env"]["DB"], "db2");
    assert_eq!(differs, ["db2 instead of db1 in dump.env.DB"]);
    let longer = [pair("db1", "db10")];
    assert_eq!(
        rebind(&plan, &longer).unwrap().0[0].with["env"]["DB"],
        "db10",
        "the new one may hold the old"
    );
}

#[test]
fn the_same_goal_changes_nothing() {
    let changes = changes("count lines", "Please count the lines").unwrap();
    let plan = [task(json!({"script": "wc -l"}))];
    assert_eq!(rebind(&plan, &changes).unwrap(), (plan.to_vec(), vec![]));
}

#[test]
fn the_order_of_words_says_which_is_which() {
    let swapped = changes("copy db1 to db2", "copy db2 to db1").unwrap();
    assert_eq!(swapped, [pair("db1", "db2"), pair("db2", "db1")]);
    let plan = [task(json!({"script": "copy $FROM $TO", "env": {"FROM": "db1", "TO": "db2"}}))];
    let (bound, _) = rebind(&plan, &swapped).unwrap();
    assert_eq!(bound[0].with["env"], json!({"FROM": "db2", "TO": "db1"}));
    let program = [task(json!({"script": "copy db1 db2"}))];
    assert!(rebind(&program, &swapped).unwrap_err().contains("inside a program"));
    for (old, new, why) in [
        ("copy db1 to db2", "copy db1 from db2", "`from` where that one said `to`"),
        ("turn the lamp on", "turn the lamp off", "`off` where that one said `on`"),
        ("move to db1 db2", "move db1 to db2", "where that one said"),
        ("copy db1 db2", "copy db1 to db2", "asks for more: to"),
        ("copy db1 to db1", "copy db1 to db2", "stands twice"),
    ] {
        let found = changes(old, new).unwrap_err();
        assert!(found.contains(why), "{old} / {new}: {found}");
    }
}

#[test]
fn values_are_compared_byte_for_byte() {
    for (old, new) in [
        ("delete /tmp/Logs", "delete /tmp/logs"),
        ("delete .env", "delete env"),
        ("delete 'logs'", "delete 'log'"),
        ("delete user_data", "delete user-data"),
        ("stop Web", "stop web"),
        ("stop web1", "stop webs1"),
        ("ping Host.example", "ping host.example"),
    ] {
        let found = changes(old, new).unwrap();
        assert_eq!(found.len(), 1, "{old} / {new}: {found:?}");
    }
    assert_eq!(changes("Delete logs", "deleting the log"), Ok(vec![]), "other words by their stems");
}

#[test]
fn other_work_is_not_the_same_work() {
    for (old, new) in [
        ("back up db1", "do not back up db1"),
        ("back up db1", "back up db1 and delete db1"),
        ("back up db1 and mail me", "back up db1"),
    ] {
        assert!(changes(old, new).is_err(), "{new}");
    }
    let swapped = changes("back up db1", "drop up db1").unwrap();
    let plan = [task(json!({"script": "pg_dump $DB", "env": {"DB": "db1"}}))];
    assert!(rebind(&plan, &swapped).unwrap_err().contains("nowhere"), "a verb is no value");
    let moved = changes("back up db1", "back up db2").unwrap();
    let code = [task(json!({"script": "pg_dump db1", "env": {"DB": "db1"}}))];
    assert!(rebind(&code, &moved).unwrap_err().contains("inside a program"));
    let inputs = json!({"days": 7});
    let inputs = inputs.as_object().unwrap();
    let weeks = changes("keep 7 days", "keep 14 days").unwrap();
    assert_eq!(rebind_inputs(inputs, &weeks).unwrap().0["days"], 14);
}

#[test]
fn a_word_that_is_left_anywhere_is_no_half_of_a_change() {
    let moved = [pair("db1", "db2")];
    let whole = json!({"id": "dump", "uses": "shell.run", "timeout": 3600, "with": {"script": "x", "env": {"DB": "db1"}}});
    let bound = |change: Value| {
        let mut task = whole.clone();
        task.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        rebind(&[serde_json::from_value(task).unwrap()], &moved)
    };
    assert!(bound(json!({})).is_ok());
    for change in [
        json!({"with": {"script": "x", "env": {"DB": "db1", "HOST": "DB1.internal"}}}),
        json!({"with": {"script": "dump_db1_now", "env": {"DB": "db1"}}}),
        json!({"with": {"script": "x", "env": {"DB": "db1", "db1": "y"}}}),
        json!({"if": "outputs.name == 'db1'"}),
        json!({"for_each": {"in": "['db1']", "max": 2}}),
        json!({"verify": "outputs.db == 'db1'"}),
        json!({"on": {"labels": {"database": "db1"}}}),
        json!({"artifacts": ["out/db1.sql"]}),
        json!({"inputs": [{"task": "before", "artifact": "db1.sql"}]}),
        json!({"sandbox": {"profile": "user", "paths": [{"path": "/data/db1"}]}}),
        json!({"needs": ["stop-db1"]}),
    ] {
        let why = bound(change.clone()).expect_err(&change.to_string());
        assert!(why.contains("still part of another"), "{change}: {why}");
    }
    let inputs = json!({"name": "db1", "host": "db1.internal"});
    let why = rebind_inputs(inputs.as_object().unwrap(), &moved).unwrap_err();
    assert!(why.contains("still part of another: host"), "{why}");
}

#[test]
fn no_expression_gets_into_a_plan() {
    let evil = changes("greet 'you'", "greet '${{ tasks.x.outputs.y }}'").unwrap();
    let plan = [task(json!({"script": "x", "env": {"WHO": "you"}}))];
    assert!(rebind(&plan, &evil).unwrap_err().contains("expression"));
    let inputs = json!({"who": "you"});
    assert!(rebind_inputs(inputs.as_object().unwrap(), &evil).unwrap_err().contains("expression"));
}

proptest! {
    #[test]
    fn no_change_ever_reaches_a_program(old in "[a-z]{2,6}", new in "[a-z]{2,6}", script in "\\PC{0,60}") {
        let plan = [task(json!({"script": script, "env": {"V": old}}))];
        if let Ok((bound, _)) = rebind(&plan, &[(old.clone(), new)]) {
            prop_assert_eq!(&bound[0].with["script"], &plan[0].with["script"]);
            prop_assert!(!script.contains(&old));
        }
    }

    #[test]
    fn any_two_goals_are_compared(old in "\\PC{0,80}", new in "\\PC{0,80}") {
        if let Ok(found) = changes(&old, &new) {
            prop_assert!(found.len() <= MOST_CHANGES && found.iter().all(|(old, new)| old != new));
        }
    }
}
