# Another process of this machine, with what others may be after. Lives until its input ends.
import ctypes, json, os, socket, sys

folder = sys.argv[1]
os.chdir(folder)
libc = ctypes.CDLL(None, use_errno=True)
key = 0x4E580000 | (os.getpid() & 0xFFFF)
segment = libc.shmget(key, 4096, 0o1600)
stream = socket.socket(socket.AF_UNIX)
stream.bind("socket")
stream.listen(64)
datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagrams.bind("datagrams")
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\0nexusmon-probe-%d" % os.getpid())
abstract.listen(64)
print(json.dumps({"shm_key": key, "abstract": "nexusmon-probe-%d" % os.getpid(), "victim": os.getpid()}), flush=True)
sys.stdin.read()
libc.shmctl(segment, 0, None)
