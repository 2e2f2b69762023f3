"""Write NEXUSMON worker plugins in Python.

A plugin is a class with a name, a list of capabilities and one coroutine::

    from nexusmon_plugin import Result, Task, WorkerPlugin, run

    class Greeter(WorkerPlugin):
        name = "greeter"
        capabilities = ["greeter.hello"]
        risk_level = "E"
        requires_approval = False

        async def execute(self, task: Task, name: str = "world") -> Result:
            task.log(f"greeting {name}")
            return Result(outputs={"greeting": f"hello {name}"})

    run(Greeter)

Only the standard library is used. Python 3.9 or newer.
"""

from .plugin import Capability, PluginError, Result, WorkerPlugin
from .server import run
from .task import SpawnRefusedError, Task

__all__ = ["Capability", "PluginError", "Result", "SpawnRefusedError", "Task", "WorkerPlugin", "run"]
__version__ = "0.1.0"
