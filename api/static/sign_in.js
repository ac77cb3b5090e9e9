// Sends the key in a header, which no page of another site could, and goes on to the page wanted.
const form = document.getElementById("sign-in");
const problem = document.getElementById("problem");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  const key = document.getElementById("key").value.trim();
  try {
    const answer = await fetch("/sign-in", { method: "POST", headers: { Authorization: `Bearer ${key}` } });
    if (answer.ok) {
      window.location.assign(form.dataset.next);
    } else {
      problem.textContent = answer.status === 401 ? "This key is not valid." : (await answer.json()).message;
    }
  } catch {
    problem.textContent = "The service does not answer.";
  }
});
