"""browser.py - drives a headless Chromium through its debugging pipe: no driver program, no packages."""
import base64
import json
import os
import subprocess
import time


class Browser:
    def __init__(self, program, profile, *flags):
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def set_up():
            os.dup2(to_read, 60)
            os.dup2(from_write, 61)
            os.dup2(60, 3)
            os.dup2(61, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--user-data-dir=" + profile,
             "--no-first-run", "--disable-extensions", *flags, "about:blank"],
            preexec_fn=set_up, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.out, self.inp = os.fdopen(to_write, "wb"), os.fdopen(from_read, "rb")
        self.number, self.session, self.console, self.rest = 0, None, [], b""
        target = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"][0]
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def read(self):
        while b"\0" not in self.rest:
            more = os.read(self.inp.fileno(), 1 << 16)
            if not more:
                raise RuntimeError("the browser has ended")
            self.rest += more
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.out.write(json.dumps(message).encode() + b"\0")
        self.out.flush()
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                self.console.append(json.dumps(answer["params"]["exceptionDetails"].get("exception", {}).get("description", "")))
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.console.append(answer["params"]["entry"]["text"] + " " + answer["params"]["entry"].get("url", ""))

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(script + ": " + answer["exceptionDetails"].get("exception", {}).get("description", "failed"))
        return answer["result"].get("value")

    def wait(self, script, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                value = self.run(script)
            except RuntimeError:  # between two pages
                value = None
            if value:
                return value
            time.sleep(0.1)
        raise RuntimeError(f"not within {seconds} s: {script}; the page says: " + str(self.run("document.body.innerText"))[:1500])

    def go(self, url):
        self.call("Page.navigate", url=url)

    def size(self, width, height, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                                                          {"name": "prefers-reduced-motion", "value": "reduce"}])

    def key(self, key, text=None, shift=False):
        for kind in ("keyDown", "keyUp"):
            parameters = {"type": kind, "key": key, "code": key, "modifiers": 8 if shift else 0,
                          "windowsVirtualKeyCode": {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}.get(key, ord(key[0].upper()))}
            if kind == "keyDown" and (text or key == "Enter"):
                parameters["text"] = text or "\r"
            self.call("Input.dispatchKeyEvent", **parameters)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def picture(self, path):
        height = self.run("document.documentElement.scrollHeight")
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": self.run("innerWidth"), "height": min(height, 6000), "scale": 1})["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (RuntimeError, OSError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
