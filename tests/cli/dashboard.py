"""dashboard.py URL BROWSER PROFILE PICTURES: the dashboard as a person uses it, in a headless Chromium.

Starts a run and watches it finish, requests a deletion, compares, makes a report and opens it; interrupts a job and lets
it go on; then looks at every page in four sizes and colour schemes. PICTURES is a folder for screenshots, or "".
"""
import json
import sys
import time

from browser import Browser

url, program, profile, pictures = sys.argv[1:5]
home = url.split("#")[0]
token = url.split("token=")[1]
failures = []


def expect(what, value):
    if not value:
        failures.append(what)
        print("FAILED:", what, file=sys.stderr)


def press(browser, text):
    """Focuses the button or link with this text, and presses Enter; once more where the page was drawn anew in between."""
    for _ in range(5):
        browser.wait("(() => { const e = [...document.querySelectorAll('main button, main a, header button')].find(x => x.textContent.trim() === %s && !x.disabled);"
                     " if (!e) return false; window.pressed = false; e.addEventListener('click', () => { window.pressed = true; }, {once: true});"
                     " e.focus(); return document.activeElement === e; })()" % json.dumps(text))
        browser.key("Enter")
        if browser.run("window.pressed") is not False:  # a new page knows nothing of it
            return
    raise RuntimeError(f"'{text}' loses the focus before it can be pressed")


def fill(browser, label, text):
    browser.wait("(() => { const l = [...document.querySelectorAll('main label')].find(x => x.textContent.trim() === %s);"
                 " if (!l) return false; const e = document.getElementById(l.htmlFor); e.focus(); if (e.select) e.select(); return document.activeElement === e; })()" % json.dumps(label))
    browser.type(text)


def choose(browser, label, value):
    browser.wait("(() => { const l = [...document.querySelectorAll('main label')].find(x => x.textContent.trim() === %s); if (!l) return false;"
                 " const e = document.getElementById(l.htmlFor); e.value = %s; e.dispatchEvent(new Event('change', {bubbles: true})); return e.value === %s; })()"
                 % (json.dumps(label), json.dumps(value), json.dumps(value)))


def text(browser):
    return browser.run("document.body.innerText")


def job_is(browser, title, state, seconds=90):
    browser.wait("[...document.querySelectorAll('.jobs li')].some(x => x.querySelector('h2').textContent.includes(%s) && x.querySelector('.state').textContent === %s)"
                 % (json.dumps(title), json.dumps(state)), seconds)


def go(browser, page):
    """Changes the page, and waits until it is drawn: its heading takes the focus at the end."""
    browser.run("document.querySelector('main h1')?.setAttribute('data-left', ''); location.hash = " + json.dumps(page))
    browser.wait("document.activeElement?.matches('main h1:not([data-left])') && document.querySelectorAll('main > *').length > 1")


def use(b):
    b.size(1280, 800)
    b.go(url)
    b.wait("document.querySelectorAll('main tbody tr').length === 1")
    expect("the token leaves the address bar", token not in b.run("location.href") and b.run("location.hash") == "#/runs")

    # start a run, watch it finish
    go(b, "#/train")
    fill(b, "Data", "synthetic,train=400,test=100")
    fill(b, "Model", "simple-conv:width=8")
    fill(b, "Epochs", "6")
    fill(b, "Name", "from-page")
    b.key("Enter")
    b.wait("location.hash === '#/queue'")
    go(b, "#/run/from-page")
    b.wait("document.querySelector('main .state')?.textContent === 'running' || document.querySelector('main .state')?.textContent === 'done'", 60)
    b.wait("document.querySelector('main .state')?.textContent === 'done'", 60)
    b.wait("document.querySelectorAll('main svg.chart polyline').length >= 4")
    expect("the result is shown", b.wait("document.body.innerText.includes('Test accuracy')"))
    expect("the end is announced", "from-page is done" in b.run("document.getElementById('status').textContent") or "running" not in text(b))

    # a deletion request: refused first, then checked and queued
    go(b, "#/request/from-page")
    fill(b, "Samples", "no-such-file.png")
    choose(b, "Method", "ft")
    press(b, "Check")
    b.wait("document.querySelector('main [role=alert]')?.textContent.length > 10")
    fill(b, "Samples", "1\n2\n3\n")
    fill(b, "Name", "forgotten")
    press(b, "Check")
    b.wait("document.body.innerText.includes('3 samples will be forgotten')")
    press(b, "Queue the request")
    b.wait("location.hash === '#/queue'")
    job_is(b, "Forget 3 samples of from-page with ft", "done")
    expect("its end is announced", "is done" in b.run("document.getElementById('status').textContent"))

    # forgotten images, with consent
    go(b, "#/run/forgotten")
    press(b, "Show them")
    b.wait("document.querySelectorAll('main canvas').length >= 3")
    expect("the images are painted", b.run("(() => { const c = document.querySelector('main canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return new Set(d).size > 8; })()"))

    # compare, report
    go(b, "#/runs")
    b.wait("document.querySelectorAll('main tbody tr').length === 3")
    for name in ("from-page", "forgotten"):
        b.wait("(() => { const e = document.querySelector('main input[aria-label=\"choose %s\"]'); e.focus(); return document.activeElement === e; })()" % name)
        b.key(" ", " ")
    press(b, "Compare 2")
    b.wait("document.querySelector('h1').textContent === 'Comparison' && document.body.innerText.includes('Settings that differ')")
    press(b, "Make a report of these runs")
    b.wait("location.hash === '#/queue'")
    job_is(b, "Report on 2 runs", "done")
    press(b, "Open the report")
    b.wait("location.pathname === '/report' && document.title.includes('report')")
    expect("the report is readable", "ft" in text(b))
    expect("the report is in a sandbox", b.run("self.origin") == "null")

    # deletion records, and the receipt of one
    b.go(home + "#/run/forgotten")
    b.wait("[...document.querySelectorAll('main a')].some(x => x.textContent.endsWith('. deletion'))")
    go(b, "#/records")
    b.wait("document.querySelectorAll('main tbody tr').length >= 4")  # the beginning, two trainings, one deletion
    expect("the newest record stands first", b.run("parseInt(document.querySelector('main tbody th').textContent) === document.querySelectorAll('main tbody tr').length"))
    fill(b, "Filter", "deletion")
    b.wait("document.querySelectorAll('main tbody tr').length === 1")
    deletion = b.run("document.querySelector('main tbody th a').textContent")
    press(b, deletion)
    b.wait("location.hash.startsWith('#/record/') && document.body.innerText.includes('What this does not prove')")
    expect("a record shows what was forgotten", "Forgotten samples" in text(b) and "Fine-tuning" in text(b))
    press(b, "Open the receipt")
    b.wait("location.pathname === '/receipt' && document.querySelector('h1') !== null")
    expect("the receipt is readable", "Deletion receipt" in text(b) and "3 training samples" in text(b))
    expect("the receipt is in a sandbox", b.run("self.origin") == "null")

    # interrupt, go on
    b.go(home + "#/queue")
    b.wait("document.querySelectorAll('.jobs li').length === 3")
    made = b.run("fetch('/api/queue', {method: 'POST', headers: {'Content-Type': 'application/json', Authorization: 'Bearer %s'},"
                 " body: JSON.stringify({kind: 'train', data: 'synthetic,train=2000,test=200', model: 'simple-conv:width=8', name: 'long', options: {epochs: 300, batch: 50}})}).then(r => r.status)" % token)
    expect("a long job is queued", made == 201)
    job_is(b, "train=2000", "running")
    go(b, "#/run/long")
    b.wait("document.querySelector('progress')?.value > 0 && /Remaining/.test(document.body.innerText)", 60)
    b.wait("[...document.querySelectorAll('dt')].some(x => x.textContent === 'Loss' && /[0-9]/.test(x.nextSibling.textContent))")
    press(b, "Interrupt")
    b.wait("document.querySelector('main .state')?.textContent === 'stopped'", 60)
    press(b, "Go on")
    b.wait("document.querySelector('main .state')?.textContent === 'running'", 60)
    go(b, "#/queue")
    press(b, "Interrupt")
    job_is(b, "train=2000", "stopped")
    # A job that is new and its changes take nobody's focus away.
    b.run("[...document.querySelectorAll('.jobs li')].find(x => x.querySelector('h2').textContent.includes('train=2000')).querySelector('button').focus()")
    made = b.run("fetch('/api/queue', {method: 'POST', headers: {'Content-Type': 'application/json', Authorization: 'Bearer %s'},"
                 " body: JSON.stringify({kind: 'train', data: 'synthetic,train=60,test=20', model: 'simple-conv:width=4', name: 'short', options: {epochs: 1, batch: 20}})}).then(r => r.status)" % token)
    expect("a short job is queued", made == 201)
    job_is(b, "train=60,", "done")
    expect("the focus stays while jobs change", b.run("document.activeElement.tagName === 'BUTTON' && document.activeElement.closest('li')?.querySelector('h2').textContent.includes('train=2000')"))
    press(b, "Remove from the list")
    b.wait("document.querySelectorAll('.jobs li').length === 4")


# What a person would trip over: things wider than the window, controls without a name, pale text, hidden focus.
look = """(() => {
  const found = [], width = innerWidth;
  const say = (what, e) => found.push(what + ' ' + e.tagName + '.' + (e.getAttribute('class') || '') + " '" + (e.textContent || '').trim().slice(0, 30) + "'");
  if (document.documentElement.scrollWidth > width) found.push('scrolls sideways: ' + document.documentElement.scrollWidth);
  const colour = c => c.match(/[\\d.]+/g).map(Number);
  const luminance = c => { const v = c.slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const ground = e => { for (; e; e = e.parentElement) { const c = colour(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  for (const e of document.querySelectorAll('body *')) {
    if (!e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}) || e.closest('.skip, thead, option, datalist, noscript, svg')) continue;
    const r = e.getBoundingClientRect();
    if (r.width && r.right > width + 1 && !e.closest('.scroll')) say('too wide', e);
    if ([...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && !e.closest(':disabled')) {
      const a = luminance(colour(getComputedStyle(e).color)), b = luminance(ground(e));
      if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5) say('too pale', e);
    }
    if (e.matches('input, select, textarea') && !(e.labels && e.labels.length) && !e.getAttribute('aria-label')) say('no label', e);
    if (e.matches('button, a[href]') && !(e.textContent.trim() || e.getAttribute('aria-label'))) say('no name', e);
    if (e.matches('button, select, input:not([type=radio]):not([type=checkbox]):not([type=file])') && r.height < 36) say('too small to touch', e);
  }
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  return found;
})()"""


def walk(b, page):
    """Tab goes through every control and leaves none out, with a focus that can be seen."""
    b.run("document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    wanted = b.run("[...document.querySelectorAll('a[href], button, input, select, textarea, summary, pre[tabindex], [tabindex=\"0\"]')].filter(e => e.checkVisibility() && !e.disabled && e.type !== 'radio').length")
    seen = set()
    for _ in range(wanted + 12):
        b.key("Tab")
        at = b.run("""(() => { const e = document.activeElement; if (!e || e === document.body) return null;
          if (!window.walkIds) window.walkIds = new Map(); if (!walkIds.has(e)) walkIds.set(e, walkIds.size);
          const s = getComputedStyle(e); return [walkIds.get(e), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, e.type === 'radio', e.outerHTML.slice(0, 80)]; })()""")
        if at is None:
            break
        if at[0] in seen:
            break
        seen.add(at[0])
        expect(f"{page}: focus is visible on {at[3]}", at[1])
    expect(f"{page}: Tab reaches {wanted} controls, found {len(seen)}", len(seen) >= wanted)


def look_at_pages(b):
    pages = ["runs", "run/forgotten", "compare/from-page/forgotten", "reports", "records", "record/4", "request", "train", "queue"]
    n = 0
    for width, dark in ((360, False), (360, True), (1280, False), (1280, True)):
        b.size(width, 800, dark)
        for page in pages:
            n += 1
            b.go(f"{home}?{n}#/{page}")
            b.wait(f"location.search === '?{n}' && document.querySelector('main h1') && document.querySelectorAll('main > *').length > 1 && getComputedStyle(document.body).color")
            time.sleep(0.2)  # the stream has drawn
            found = b.run(look)
            expect(f"{page} at {width} px{' dark' if dark else ''}: {found[:6]}", not found)
            if pictures:
                b.picture(f"{pictures}/{page.split('/')[0]}-{width}-{'dark' if dark else 'light'}.png")
            if width == 360 and not dark:
                walk(b, page)


def look_without_token(b):
    b.run("sessionStorage.clear()")
    b.go(home + "?none#/train")
    b.wait("location.search === '?none' && document.querySelector('main h1')?.textContent === 'Train a model'")
    expect("a tab without token cannot submit", b.run("document.querySelector('main button[type=submit]').disabled"))
    b.run("document.getElementById('token-button').click()")
    b.wait("document.getElementById('token-dialog').open")
    b.type("0" * 64)
    b.key("Enter")
    b.wait("document.getElementById('token-error').textContent.includes('not the token')")
    b.run("document.getElementById('token-input').value = ''; document.getElementById('token-input').focus()")
    b.type(token)
    b.key("Enter")
    b.wait("!document.getElementById('token-dialog').open")
    b.wait("document.querySelector('main button[type=submit]') && !document.querySelector('main button[type=submit]').disabled")


browser = Browser(program, profile)
try:
    use(browser)
    look_at_pages(browser)
    expected = len(browser.console)
    look_without_token(browser)
    # refused requests are listed by the browser, and the test makes some
    wrong = [c for c in browser.console if "/api/queue/check" not in c and "/api/session" not in c and "/api/run?" not in c]
    expect(f"nothing on the console: {wrong}", not wrong)
finally:
    browser.close()
sys.exit(1 if failures else 0)
