"""``python -I -m certbot_guard.startable`` ends with 0 where the processes that guard a run can be started."""

from certbot_guard import hooks, sentinel, settle

__all__ = ["hooks", "sentinel", "settle"]
