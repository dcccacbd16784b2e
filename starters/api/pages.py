"""The page at `/docs`: the OpenAPI document as a list, without anything from another host."""

from __future__ import annotations

DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>WedSync orchestrator API</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f4f4f5;padding:1rem;overflow:auto}
summary{cursor:pointer;padding:.4rem 0}b{display:inline-block;min-width:4rem}
</style></head><body>
<h1>WedSync orchestrator API</h1>
<p>The description in OpenAPI 3.1 is at <a href="openapi.json">openapi.json</a>.
Send your key as <code>Authorization: Bearer &lt;key&gt;</code>.</p>
<main>Loading</main>
<script>
const add=(to,tag,text)=>{const e=document.createElement(tag);if(text)e.textContent=text;to.append(e);return e};
fetch("openapi.json").then(r=>r.json()).then(d=>{
  const main=document.querySelector("main");main.textContent="";
  for(const [path,ops] of Object.entries(d.paths))for(const [verb,op] of Object.entries(ops)){
    const box=add(main,"details"),head=add(box,"summary");
    add(head,"b",verb.toUpperCase());add(head,"code",path);add(box,"p",op.description||op.summary);
    const ref=op.requestBody?.content["application/json"]?.schema?.$ref;
    if(ref){const name=ref.split("/").pop();add(box,"p","Body: "+name);
      add(box,"pre",JSON.stringify(d.components.schemas[name],null,2))}
    add(box,"p","Answers: "+Object.keys(op.responses).join(", "));
  }});
</script></body></html>
"""
