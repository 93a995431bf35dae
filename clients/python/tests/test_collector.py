"""The client, as services use it, against the real collector."""

import logging
import os
import pathlib
import subprocess
import sys
import threading
import unittest

import hms_ops_client as ops
from tests.servers import Collector

HERE = pathlib.Path(__file__).resolve().parents[1]


class CollectorCase(unittest.TestCase):
    token = None

    def setUp(self):
        logging.getLogger("hms_ops_client").setLevel(logging.CRITICAL)
        self.collector = Collector(self.token)
        self.addCleanup(self.collector.close)

    def run_service(self, program, **environment):
        """Runs a program in a Python of its own and returns what it wrote to stderr."""
        settings = {"OPS_URL": self.collector.url, "OPS_FLUSH_SECONDS": "3600", "OPS_EXIT_SECONDS": "10"}
        settings.update(PYTHONPATH=str(HERE), PYTHONDONTWRITEBYTECODE="1", **environment)
        done = subprocess.run(
            [sys.executable, "-c", program], env=dict(os.environ, **settings), timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def names(self):
        return sorted(sample["name"] for sample in self.collector.stored())


class Service(CollectorCase):
    def test_the_usage_of_the_brief_works_and_ends_with_everything_sent(self):
        self.run_service(
            "import hms_ops_client as ops\n"
            "def call_county(payload):\n"
            "    with ops.timer('county_api_ms'):\n"
            "        r = payload\n"
            "    return r\n"
            "assert call_county(7) == 7\n")
        self.assertEqual(self.names(), ["county_api_ms"])

    def test_a_crash_of_the_service_still_reports_what_came_before(self):
        with self.assertRaises(AssertionError):
            self.run_service("import hms_ops_client as ops\nwith ops.timer('a_ms'): raise SystemExit(3)\n")
        self.assertEqual(self.names(), ["a_ms"])

    def test_a_fork_reports_its_own_samples_once(self):
        self.run_service(
            "import os, hms_ops_client as ops\n"
            "ops.gauge('before', 1)\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    ops.gauge('child', 1)\n"
            "    assert ops.flush(10)\n"
            "    os._exit(0)\n"
            "assert os.waitpid(child, 0)[1] == 0\n"
            "ops.gauge('parent', 1)\n")
        self.assertEqual(self.names(), ["before", "child", "parent"])
        self.assertEqual(len({sample["client"] for sample in self.collector.stored()}), 2)

    def test_worker_processes_report_before_they_end(self):
        self.run_service(
            "import multiprocessing, hms_ops_client as ops\n"
            "if __name__ == '__main__':\n"
            "    ops.gauge('parent', 1)\n"
            "    context = multiprocessing.get_context('fork')\n"
            "    workers = [context.Process(target=ops.gauge, args=('worker', n)) for n in range(3)]\n"
            "    for worker in workers: worker.start()\n"
            "    for worker in workers: worker.join()\n")
        self.assertEqual(self.names(), ["parent", "worker", "worker", "worker"])

    def test_a_service_without_a_collector_ends_in_good_order(self):
        said = self.run_service(
            "import hms_ops_client as ops\nwith ops.timer('a_ms'): pass\n", OPS_URL="http://127.0.0.1:1")
        self.assertIn("metrics are kept back: http://127.0.0.1:1/metric", said)
        self.assertNotIn("Traceback", said)

    def test_samples_of_many_threads_all_arrive(self):
        client = ops.Client(url=self.collector.url, flush_seconds=0.01)

        def work(thread):
            for number in range(250):
                client.gauge("threads", number, thread=thread)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(client.flush(20))
        client.close()
        stored = self.collector.stored()
        found = sorted((int(sample["labels"]["thread"]), int(sample["val"])) for sample in stored)
        self.assertEqual(found, [(thread, number) for thread in range(8) for number in range(250)])

    def test_an_outage_of_the_bus_loses_and_repeats_nothing(self):
        client = ops.Client(url=self.collector.url, flush_seconds=3600)
        client.gauge("a", 1)
        self.collector.outage(True)
        self.assertFalse(client.flush(0.5))
        self.collector.outage(False)
        client.gauge("a", 2)
        self.assertTrue(client.flush(30))
        client.close()
        self.assertEqual([sample["val"] for sample in self.collector.stored()], [1, 2])
        self.assertEqual(client.stats()["sent"], 2)

    def test_the_collector_refuses_a_bad_name_and_keeps_the_rest(self):
        client = ops.Client(url=self.collector.url, flush_seconds=3600)
        client.gauge("not a name", 1)
        client.counter("good_total", 2)
        self.assertTrue(client.flush())
        client.close()
        (sample,) = self.collector.stored()
        self.assertEqual((sample["name"], sample["counter"]), ("good_total", True))
        self.assertEqual((client.stats()["sent"], client.stats()["refused"]), (1, 1))


class Token(CollectorCase):
    token = "s3cret"

    def test_the_token_opens_the_collector(self):
        self.run_service("import hms_ops_client as ops\nops.gauge('a', 1)\n", OPS_TOKEN="s3cret")
        self.assertEqual(self.names(), ["a"])

    def test_a_wrong_token_is_said_and_costs_the_service_nothing(self):
        said = self.run_service(
            "import hms_ops_client as ops\nops.gauge('a', 1)\n", OPS_TOKEN="wrong", OPS_EXIT_SECONDS="0.3")
        self.assertIn("401", said)
        self.assertEqual(self.names(), [])


class Burst(CollectorCase):
    def test_the_story_plays_and_sees_the_rollback(self):
        import tempfile

        with tempfile.TemporaryDirectory() as data:
            flag = pathlib.Path(data) / "docket_rule"
            command = [sys.executable, str(HERE / "send_burst.py"), "--url", self.collector.url, "--data", data]
            command += ["--healthy", "0.3", "--recovered", "0.3"]
            environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
            with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, universal_newlines=True) as burst:
                self.assertIn("rule is live", burst.stderr.readline())
                self.assertEqual(flag.read_text().strip(), "on")
                # What the rollback script does.
                flag.write_text("off\n")
                self.assertIn("rolled back after", burst.stderr.readline())
                self.assertIn("calls reported", burst.stderr.readline())
                self.assertEqual(burst.wait(30), 0)
        self.assertGreaterEqual(len(self.collector.stored()), 6)

    def test_a_story_without_a_lab_says_what_to_start(self):
        command = [sys.executable, str(HERE / "send_burst.py"), "--url", "http://127.0.0.1:1", "--data", os.devnull + "x"]
        done = subprocess.run(command, stderr=subprocess.PIPE, universal_newlines=True, timeout=60,
                              env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        self.assertEqual(done.returncode, 3)
        self.assertNotIn("Traceback", done.stderr)
