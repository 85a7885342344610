"""The examples of the API reference, word for word: what a person copies, and what the reference says comes back."""

from typing import Final

# method and address -> the answer; times are examples, everything else is meant
ANSWERS: Final = {
    "GET /api/workflows": r"""{
  "success": true,
  "data": [
    {
      "name": "data-pipeline",
      "working_dir": "/opt/workflows/data-pipeline",
      "status": "completed",
      "created_at": "2024-08-30T10:00:00.000Z",
      "started_at": "2024-08-30T10:30:00.000Z",
      "completed_at": "2024-08-30T11:00:00.000Z",
      "deleted_at": null
    },
    {
      "name": "ml-training",
      "working_dir": "/opt/workflows/ml-training",
      "status": "running",
      "created_at": "2024-08-30T11:30:00.000Z",
      "started_at": "2024-08-30T11:35:00.000Z",
      "completed_at": null,
      "deleted_at": null
    }
  ]
}""",
    "GET /api/workflows/{workflow_name}": r"""{
  "success": true,
  "data": {
    "name": "data-pipeline",
    "working_dir": "/opt/workflows/data-pipeline",
    "status": "completed",
    "created_at": "2024-08-30T10:00:00.000Z",
    "started_at": "2024-08-30T10:30:00.000Z",
    "completed_at": "2024-08-30T11:00:00.000Z",
    "deleted_at": null
  }
}""",
    "POST /api/workflows": r"""{
  "success": true,
  "data": "Workflow 'example-workflow' created successfully"
}""",
    "POST /api/workflows/{workflow_name}/start": r"""{
  "success": true,
  "data": "Workflow 'example-workflow' started successfully"
}""",
    "GET /api/workflows/{workflow_name}/workers": r"""{
  "success": true,
  "data": [
    {
      "workflow_name": "example-workflow",
      "name": "data_fetcher",
      "command": "python fetch_data.py",
      "args": "[\"--source\", \"database\"]",
      "working_dir": "/tmp/example-workflow",
      "env_vars": "{\"DATABASE_URL\": \"sqlite:///data.db\"}",
      "inputs": null,
      "outputs": "{\"raw_data\": \"/tmp/raw_data.json\", \"metadata\": \"/tmp/metadata.json\"}",
      "status": "completed",
      "error_message": null,
      "created_at": "2024-08-30T10:00:00.000Z",
      "started_at": "2024-08-30T10:30:00.000Z",
      "completed_at": "2024-08-30T10:35:00.000Z",
      "deleted_at": null
    }
  ]
}""",
    "GET /api/workers/{workflow_name}": r"""{
  "success": true,
  "data": [
    {
      "name": "data_fetcher",
      "workflow_name": "example-workflow",
      "status": "completed",
      "command": "python fetch_data.py",
      "created_at": "2024-08-30T10:00:00.000Z",
      "started_at": "2024-08-30T10:30:00.000Z",
      "completed_at": "2024-08-30T10:35:00.000Z"
    }
  ]
}""",
    "GET /api/workers/{workflow_name}/{worker_name}": r"""{
  "success": true,
  "data": {
    "name": "data_fetcher",
    "workflow_name": "example-workflow",
    "command": "python fetch_data.py",
    "args": ["--source", "database"],
    "working_dir": "/tmp/example-workflow",
    "env_vars": {
      "DATABASE_URL": "sqlite:///data.db"
    },
    "status": "running"
  }
}""",
    "GET /api/workers/{workflow_name}/{worker_name}/schema": r"""{
  "success": true,
  "data": {
    "schema": {
      "type": "object",
      "properties": {
        "name": {"type": "string"},
        "workflow_name": {"type": "string"},
        "command": {"type": "string"},
        "args": {
          "type": "array",
          "items": {"type": "string"}
        },
        "working_dir": {"type": "string"},
        "env_vars": {
          "type": "object",
          "additionalProperties": {"type": "string"}
        }
      }
    }
  }
}""",
    "POST /api/workers/{workflow_name}/{worker_name}/start": r"""{
  "success": true,
  "data": "Worker 'example-workflow/data_fetcher' started"
}""",
    "POST /api/workers/{workflow_name}/{worker_name}/stop": r"""{
  "success": true,
  "data": "Worker 'example-workflow/data_fetcher' stopped"
}""",
    "POST /api/workers/{workflow_name}/{worker_name}/restart": r"""{
  "success": true,
  "data": "Worker 'example-workflow/data_fetcher' restarted"
}""",
    "GET /api/workers/{workflow_name}/{worker_name}/logs": r"""{
  "success": true,
  "data": [
    "stdout: /tmp/example-workflow/data_fetcher/stdout.log",
    "stderr: /tmp/example-workflow/data_fetcher/stderr.log"
  ]
}""",
    "GET /api/workers/{workflow_name}/{worker_name}/metrics": r"""{
  "success": true,
  "data": {
    "metrics": {
      "cpu_usage": "15.5%",
      "memory_usage": "128MB",
      "runtime": "00:05:23",
      "status": "running"
    }
  }
}""",
    "DELETE /api/workers/{workflow_name}/{worker_name}": r"""{
  "success": true,
  "data": "Worker 'example-workflow/data_fetcher' deleted successfully"
}""",
}

EXAMPLE_WORKFLOW: Final = r"""{
  "name": "example-workflow",
  "working_dir": "/tmp/example-workflow",
  "workers": [
    {
      "name": "data_fetcher",
      "workflow_name": "example-workflow",
      "command": "python fetch_data.py",
      "args": ["--source", "database"],
      "working_dir": "/tmp/example-workflow",
      "env_vars": {
        "DATABASE_URL": "sqlite:///data.db"
      },
      "inputs": null,
      "outputs": {
        "raw_data": "/tmp/raw_data.json",
        "metadata": "/tmp/metadata.json"
      }
    },
    {
      "name": "data_processor",
      "workflow_name": "example-workflow",
      "command": "python process_data.py",
      "args": ["--input", "/tmp/raw_data.json"],
      "working_dir": "/tmp/example-workflow",
      "env_vars": {
        "PROCESSING_MODE": "batch"
      },
      "inputs": {
        "input_data": "data_fetcher/raw_data",
        "config": "data_fetcher/metadata"
      },
      "outputs": {
        "processed_data": "/tmp/processed_data.json"
      }
    }
  ]
}"""
"""The body of POST /api/workflows."""

STREAM_REQUEST: Final = "GET /api/workers/{workflow_name}/{worker_name}/logs/stream"
STREAM_FRAMES: Final = r"""data: {"type": "stdout", "content": "Starting data fetch process..."}

data: {"type": "stderr", "content": "Warning: Connection timeout, retrying..."}

data: {"type": "stdout", "content": "Data fetch completed successfully"}"""

# code -> the failure as a Chinese reader gets it
FAILURES: Final = {
    "WORKFLOW_NOT_FOUND": r"""{
  "success": false,
  "error": {
    "code": "WORKFLOW_NOT_FOUND",
    "message": "工作流 'non-existent' 不存在"
  },
  "timestamp": "2024-08-30T12:34:56.789Z"
}""",
    "WORKFLOW_ALREADY_EXISTS": r"""{
  "success": false,
  "error": {
    "code": "WORKFLOW_ALREADY_EXISTS",
    "message": "工作流 'example-workflow' 已存在"
  },
  "timestamp": "2024-08-30T12:34:56.789Z"
}""",
    "DEPENDENCY_VALIDATION_FAILED": r"""{
  "success": false,
  "error": {
    "code": "DEPENDENCY_VALIDATION_FAILED",
    "message": "依赖验证失败: worker 'processor' 依赖 'fetcher/output' 但该输出不存在"
  },
  "timestamp": "2024-08-30T12:34:56.789Z"
}""",
    "CIRCULAR_DEPENDENCY": r"""{
  "success": false,
  "error": {
    "code": "CIRCULAR_DEPENDENCY",
    "message": "检测到循环依赖，无法执行工作流"
  },
  "timestamp": "2024-08-30T12:34:56.789Z"
}""",
}

CREATE_HELLO_WORLD: Final = r"""curl -X POST http://localhost:9240/api/workflows \
  -H "Content-Type: application/json" \
  -d '{
    "name": "hello-world",
    "working_dir": "/tmp/hello-world",
    "workers": [
      {
        "name": "greet",
        "workflow_name": "hello-world",
        "command": "echo Hello, Wattle Scheduler!",
        "args": [],
        "working_dir": "/tmp/hello-world",
        "env_vars": {},
        "inputs": null,
        "outputs": {
          "greeting": "/tmp/hello-world/greeting.txt"
        }
      }
    ]
  }'"""
START_HELLO_WORLD: Final = r"""curl -X POST http://localhost:9240/api/workflows/hello-world/start"""
SHOW_HELLO_WORLD: Final = r"""curl http://localhost:9240/api/workflows/hello-world"""
LOGS_OF_GREET: Final = r"""curl http://localhost:9240/api/workers/hello-world/greet/logs"""
CREATE_DATA_PIPELINE: Final = r"""curl -X POST http://localhost:9240/api/workflows \
  -H "Content-Type: application/json" \
  -d '{
    "name": "data-pipeline",
    "working_dir": "/tmp/data-pipeline",
    "workers": [
      {
        "name": "fetch_data",
        "workflow_name": "data-pipeline",
        "command": "python3 -c \"import json; print(json.dumps({\\\"data\\\": [1,2,3,4,5]}))\"",
        "working_dir": "/tmp/data-pipeline",
        "outputs": {
          "raw_data": "/tmp/data-pipeline/raw.json"
        }
      },
      {
        "name": "process_data",
        "workflow_name": "data-pipeline",
        "command": "python3 -c \"import json; data=json.load(open(\\\"/tmp/data-pipeline/raw.json\\\")); result=sum(data[\\\"data\\\"]); print(f\\\"Sum: {result}\\\")\"",
        "working_dir": "/tmp/data-pipeline",
        "inputs": {
          "input_file": "fetch_data/raw_data"
        },
        "outputs": {
          "result": "/tmp/data-pipeline/result.txt"
        }
      }
    ]
  }'"""  # noqa: E501
