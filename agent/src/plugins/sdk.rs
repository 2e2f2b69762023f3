//! The Python package, as the agent carries it: plugins import it without anything being installed.

/// Its folder.
pub(super) const PACKAGE: &str = "nexusmon_plugin";

/// Its files.
pub(super) const FILES: [(&str, &str); 6] = [
    ("__init__.py", include_str!("../../sdk/python/nexusmon_plugin/__init__.py")),
    ("command.py", include_str!("../../sdk/python/nexusmon_plugin/command.py")),
    ("plugin.py", include_str!("../../sdk/python/nexusmon_plugin/plugin.py")),
    ("schema.py", include_str!("../../sdk/python/nexusmon_plugin/schema.py")),
    ("server.py", include_str!("../../sdk/python/nexusmon_plugin/server.py")),
    ("task.py", include_str!("../../sdk/python/nexusmon_plugin/task.py")),
];

/// A plugin to start from: files of its folder.
pub(super) fn template(name: &str) -> [(&'static str, String); 2] {
    let words = name.split(['-', '_']).filter(|word| !word.is_empty());
    let class: String = words
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_ascii_uppercase() + rest
        })
        .collect();
    // A class cannot begin with a digit.
    let class =
        if class.starts_with(|c: char| c.is_ascii_digit()) { format!("Plugin{class}") } else { class };
    let fill = |text: &str| text.replace("{name}", name).replace("{class}", &class);
    [("plugin.py", fill(CODE)), (super::folder::DECLARATION, fill(DECLARATION))]
}

const CODE: &str = r#"from nexusmon_plugin import Result, Task, WorkerPlugin, run


class {class}(WorkerPlugin):
    """Says hello."""

    name = "{name}"
    version = "0.1.0"
    capabilities = ["{name}.hello"]
    risk_level = "E"
    requires_approval = False

    async def execute(self, task: Task, who: str = "world") -> Result:
        task.log(f"greeting {who}")
        return Result(outputs={"greeting": f"hello {who}"})


run({class})
"#;

const DECLARATION: &str = r#"# How the agent starts this plugin.
command = ["python3", "plugin.py"]
# strict: no network, nothing of the machine to see. `user` ranks B and `none` A: each use then waits for a person.
profile = "strict"
"#;
