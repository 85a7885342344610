"""Every sentence Wattle says to a person, in one table: key -> English and Chinese.

Keys in capitals are error codes. The English of an error is the docstring of its class in
`schemas/errors.py`, which enters itself here, so a sentence is written once; the rest stands below.
A code never changes with the language, only its sentence does.
"""

from typing import Final, Literal

Language = Literal["en", "zh"]

MESSAGES: Final[dict[str, dict[Language, str]]] = {
    "OK": {"en": "OK", "zh": "操作成功"},
    "WORKFLOW_NOT_FOUND": {"zh": "工作流 '{name}' 不存在"},
    "WORKER_NOT_FOUND": {"zh": "工作者 '{workflow}/{name}' 不存在"},
    "RUN_NOT_FOUND": {"zh": "运行 '{run_id}' 不存在"},
    "ROUTE_NOT_FOUND": {"zh": "路径 '{path}' 不存在"},
    "METHOD_NOT_ALLOWED": {"zh": "路径 '{path}' 不支持 {method} 方法"},
    "INVALID_REQUEST": {"zh": "请求无效: {reason}"},
    "UNSUPPORTED_MEDIA_TYPE": {"zh": "不支持的 Content-Type '{given}'，请使用 application/json 或 application/yaml"},
    "PAYLOAD_TOO_LARGE": {"zh": "请求体超过 {limit_bytes} 字节的上限"},
    "VALIDATION_ERROR": {"zh": "验证失败: {summary}"},
    "DEPENDENCY_VALIDATION_FAILED": {"zh": "依赖验证失败: worker '{worker}' 依赖 '{dependency}' 但该输出不存在"},
    "CIRCULAR_DEPENDENCY": {"zh": "检测到循环依赖，无法执行工作流"},
    "WORKFLOW_ALREADY_EXISTS": {"zh": "工作流 '{name}' 已存在"},
    "WORKFLOW_ALREADY_RUNNING": {"zh": "工作流 '{name}' 正在运行，请先停止"},
    "WORKFLOW_NOT_RUNNING": {"zh": "工作流 '{name}' 未在运行"},
    "WORKER_ALREADY_RUNNING": {"zh": "工作者 '{workflow}/{name}' 正在运行或等待运行，请先停止"},
    "WORKER_NOT_RUNNING": {"zh": "工作者 '{workflow}/{name}' 未在运行"},
    "INPUT_MISSING": {"zh": "工作者 '{workflow}/{name}' 无法启动，缺少输入: {missing}"},
    "UNAUTHORIZED": {"zh": "未授权: {reason}"},
    "FORBIDDEN": {"zh": "请求被拒绝: {reason}"},
    "HOST_NOT_ALLOWED": {"zh": "此服务不以主机名 '{host}' 应答，可用 allowed_hosts 添加"},
    "RATE_LIMIT_EXCEEDED": {"zh": "请求过于频繁，请在 {retry_after_seconds} 秒后重试"},
    "SERVICE_UNAVAILABLE": {"zh": "服务暂不可用: {reason}"},
    "INTERNAL_ERROR": {"zh": "服务器内部错误，请在报告时附上请求编号 '{request_id}'"},
}

# What the reference shows as text in `data` is part of the contract and reads the same in every language.
DATA_TEXTS: Final[dict[str, str]] = {
    "workflow_created": "Workflow '{name}' created successfully",
    "workflow_replaced": "Workflow '{name}' replaced successfully",
    "workflow_deleted": "Workflow '{name}' deleted successfully",
    "workflow_started": "Workflow '{name}' started successfully",
    "workflow_stopped": "Workflow '{name}' stopped successfully",
    "workflow_restarted": "Workflow '{name}' restarted successfully",
    "worker_started": "Worker '{workflow}/{name}' started",
    "worker_stopped": "Worker '{workflow}/{name}' stopped",
    "worker_restarted": "Worker '{workflow}/{name}' restarted",
    "worker_deleted": "Worker '{workflow}/{name}' deleted successfully",
}


def data_text(key: str, **names: str) -> str:
    """The documented text for `data`, e.g. data_text("worker_started", workflow="w", name="n")."""
    return DATA_TEXTS[key].format_map(names)


def choose_language(accept_language: str | None) -> Language:
    """The language to answer in: what an Accept-Language header ranks best, else English."""
    best: tuple[float, Language] = (0.0, "en")
    for entry in (accept_language or "").split(","):
        tag, _, parameters = entry.partition(";")
        primary = tag.strip().lower().partition("-")[0]
        weight = _quality(parameters)
        # `>` keeps the first of two equal ranks, which is what a browser means by the order of its list
        if primary in ("en", "zh") and weight > best[0]:
            best = (weight, "zh" if primary == "zh" else "en")
    return best[1]


def _quality(parameters: str) -> float:
    """The `q=` of one Accept-Language entry, 1 when absent, 0 when it is no number."""
    name, _, value = parameters.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(float(value), 1.0)
    except ValueError:
        return 0.0
