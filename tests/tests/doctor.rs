//! `doctor` of both programs finds the usual troubles. Each test makes one for real and looks at what is said of it.

mod doctor {
    mod agent;
    mod coordinator;
    mod database;
    mod fleet;
    pub(crate) mod patient;
}
