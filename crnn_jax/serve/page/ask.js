// What the page asks the server.

// What the network takes and answers (crnn_jax/serve/about.py).
export async function about() {
  return (await fetch("about")).json();
}

// The answer about pictures, each {name, blob}, or {error}; with the frames that the network got.
// A blob may be promised.
export async function ask(pictures, { split = false, signal } = {}) {
  const form = new FormData();
  for (const { name, blob } of pictures) form.append("file", await blob, name);
  try {
    const response = await fetch(`predict?frames=true${split ? "&split=true" : ""}`, {
      method: "POST", body: form, signal,
    });
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { error: "the server does not answer; start it anew and try again" };
  }
}

// The file that a data: address holds.
export function blobAt(address) {
  const bytes = Uint8Array.from(atob(address.split(",")[1]), (x) => x.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}
